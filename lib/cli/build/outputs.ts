/** `--output`, `--cache-from`, `--cache-to`, `--secret` and `--ssh`. @module */
import type { BuildOptions, BuildOutput, RemoteCache } from "../../build/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { invalid } from "../invalid.ts";
import { UsageError } from "../report.ts";
import { listValue } from "./list-value.ts";

const STDOUT = 1;

/** @param toStdout what writes there; called once at most. @throws TsboxError `invalid_option` */
export function outputOf(text: string, toStdout: () => WritableStream<Uint8Array>): BuildOutput {
  // as Docker has it: a word alone is a directory, or an archive on stdout
  if (text === "-") return { type: "tar", destination: stdout(toStdout) };
  if (!text.includes("=")) return { type: "local", destination: text };
  const given = listValue("--output", text, ["type", "dest", "name", "push"]);
  const type = given.get("type") ?? "";
  const destination = given.get("dest");
  const push = given.get("push") ?? "false";
  if (type === "image" || type === "registry") {
    if (destination !== undefined) throw invalid("--output", text, `an output of type ${type} has no dest`);
    const name = given.get("name");
    if (push !== "true" && push !== "false") throw invalid("--output", text, "push is true or false");
    return {
      type: "image",
      ...(name === undefined ? {} : { names: name.split(",") }),
      ...(type === "registry" || push === "true" ? { push: true } : {}),
    };
  }
  if (type !== "local" && type !== "tar" && type !== "oci" && type !== "docker")
    throw invalid("--output", text, "no type that is known", "type=image, registry, local, tar, oci, docker");
  if (given.has("name") || given.has("push"))
    throw invalid("--output", text, `an output of type ${type} has no name`, "-t names it");
  if (type === "local") {
    if (destination === undefined || destination === "-") throw invalid("--output", text, "it needs dest=DIRECTORY");
    return { type, destination };
  }
  return { type, destination: destination === undefined || destination === "-" ? stdout(toStdout) : destination };
}

function stdout(open: () => WritableStream<Uint8Array>): WritableStream<Uint8Array> {
  if (sizeOfTerminal(STDOUT))
    throw new UsageError("write an archive to stdout: it is a terminal", "type=tar,dest=FILE, or redirect it");
  return open();
}

/** `NAME`, `type=registry,ref=NAME`, `type=local,src=DIR`. @throws TsboxError `invalid_option` */
export function cacheOf(flag: "--cache-from" | "--cache-to", text: string): RemoteCache {
  const place = flag === "--cache-from" ? "src" : "dest";
  if (!text.includes("=")) return { type: "registry", reference: text };
  const given = listValue(
    flag,
    text,
    flag === "--cache-from" ? ["type", "ref", place] : ["type", "ref", place, "mode"],
  );
  const [type, reference, path, mode] = [given.get("type"), given.get("ref"), given.get(place), given.get("mode")];
  if (mode !== undefined && mode !== "min" && mode !== "max") throw invalid(flag, text, "mode is min or max");
  if (type === "registry" && reference !== undefined && path === undefined)
    return { type, reference, ...(mode === undefined ? {} : { mode }) };
  if (type === "local" && path !== undefined && reference === undefined && mode === undefined) return { type, path };
  throw invalid(flag, text, "not understood", `type=registry,ref=NAME, or type=local,${place}=DIR`);
}

type Secret = NonNullable<BuildOptions["secrets"]>[string];

/** `id=KEY,src=FILE`, `id=KEY,env=NAME`, `id=KEY`: the variable of that name, or the file. @throws TsboxError `invalid_option` */
export function secretOf(text: string): [id: string, secret: Secret] {
  const given = listValue("--secret", text, ["type", "id", "src", "source", "env"]);
  const type = given.get("type");
  if (type !== undefined && type !== "file" && type !== "env") throw invalid("--secret", text, "type is file or env");
  const source = given.get("src") ?? given.get("source");
  const env = given.get("env") ?? (type === "env" ? source : undefined);
  const file = type === "env" ? undefined : source;
  const id = given.get("id") ?? env ?? file?.replace(/^.*\//, "");
  if (id === undefined || id === "") throw invalid("--secret", text, "no id", "id=KEY,src=FILE");
  if (env !== undefined && file !== undefined) throw invalid("--secret", text, "a file or a variable, not both");
  if (env !== undefined) return [id, { env }];
  if (file !== undefined) return [id, { file }];
  return [id, type !== "file" && process.env[id] !== undefined ? { env: id } : { file: id }];
}

/** `default`: the caller's agent; `ID=SOCKET`, `ID=KEY,KEY`. @throws TsboxError `invalid_option` */
export function agentOf(text: string): [id: string, given: string | string[]] {
  const at = text.indexOf("=");
  const id = at < 0 ? text : text.slice(0, at);
  const socket = at < 0 ? process.env.SSH_AUTH_SOCK : text.slice(at + 1);
  if (id === "") throw invalid("--ssh", text, "no id", '"default"');
  if (socket === undefined || socket === "")
    throw invalid("--ssh", text, "there is no agent", "eval $(ssh-agent), or name its socket: default=/run/agent");
  const paths = socket.split(",").filter((path) => path !== "");
  return [id, at >= 0 && paths.length > 1 ? paths : socket];
}
