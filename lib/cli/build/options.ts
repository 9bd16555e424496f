/** What was typed, as the library's options. @module */
import type { BuildOptions, BuildOutput } from "../../build/index.ts";
import { invalid } from "../invalid.ts";
import { pair } from "../pair.ts";
import { UsageError } from "../report.ts";
import type { BuildFlags } from "./flags.ts";
import { agentOf, cacheOf, outputOf, secretOf } from "./outputs.ts";

const RIGHTS = ["network.host", "security.insecure"] as const;
const NETWORKS = ["default", "none", "host"] as const;

/** @param toStdout what writes there. @throws TsboxError `invalid_option` */
export function optionsOf(flags: BuildFlags, toStdout: () => WritableStream<Uint8Array>): BuildOptions {
  const { tag, target, platform, label, noCacheFilter, addHost, network, squash, pull, cache } = flags;
  const outputs = outputsOf(flags, toStdout);
  if (platform?.includes(","))
    throw invalid("--platform", platform, "an image is for one platform", "a build for each, with a name of its own");
  for (const name of ["provenance", "sbom"] as const) {
    const asked = flags[name];
    if (asked !== undefined && !/^(?:0|f|false)$/i.test(asked))
      throw invalid(
        `--${name}`,
        asked,
        "nothing is attested here",
        "leave it out: the same inputs give the same digests",
      );
  }
  return {
    ...(tag ? { tags: tag } : {}),
    args: Object.fromEntries((flags.buildArg ?? []).flatMap(argument)),
    contexts: Object.fromEntries((flags.buildContext ?? []).map((words) => pair("--build-context", words))),
    ...(target === undefined ? {} : { target }),
    ...(flags.before === undefined ? {} : { before: lineOf(flags.before) }),
    ...(platform === undefined ? {} : { platform }),
    ...(label ? { labels: Object.fromEntries(label.map((words) => pair("--label", words))) } : {}),
    ...(cache === false ? { cache } : {}),
    ...(noCacheFilter ? { noCacheFilter: noCacheFilter.flatMap((names) => names.split(",")) } : {}),
    ...(pull ? { pull } : {}),
    ...(flags.cacheFrom ? { cacheFrom: flags.cacheFrom.map((text) => cacheOf("--cache-from", text)) } : {}),
    ...(flags.cacheTo ? { cacheTo: flags.cacheTo.map((text) => cacheOf("--cache-to", text)) } : {}),
    secrets: Object.fromEntries((flags.secret ?? []).map(secretOf)),
    ssh: Object.fromEntries((flags.ssh ?? []).map(agentOf)),
    ...(network === undefined ? {} : { network: oneOf("--network", network, NETWORKS) }),
    ...(addHost ? { addHosts: addHost.map(hostOf) } : {}),
    ...(flags.allow ? { allow: flags.allow.map((right) => oneOf("--allow", right, RIGHTS)) } : {}),
    ...(squash ? { squash } : {}),
    ...(outputs.length > 0 ? { outputs } : {}),
  };
}

function outputsOf(
  { output = [], push, load, tag }: BuildFlags,
  toStdout: () => WritableStream<Uint8Array>,
): BuildOutput[] {
  let isTaken = false;
  const outputs = output.map((text) =>
    outputOf(text, () => {
      if (isTaken) throw new UsageError("write two outputs to stdout", "dest=FILE for all but one");
      isTaken = true;
      return toStdout();
    }),
  );
  const image = outputs.find((each) => each.type === "image");
  if (push) {
    if (!tag && !image?.names) throw new UsageError("push an image without a name", "name it: -t NAME");
    if (image) image.push = true;
    else outputs.push({ type: "image", push: true });
  } else if (load && !image && outputs.length > 0) outputs.push({ type: "image" });
  return outputs;
}

/** Without a value: the caller's, or nothing where there is none. */
function argument(words: string): [string, string][] {
  const [name, value] = pair("--build-arg", words);
  if (words.includes("=")) return [[name, value]];
  const own = process.env[name];
  return own === undefined ? [] : [[name, own]];
}

function lineOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw invalid("--before", text, "not the number of a line");
  return Number(text);
}

/** Docker takes `NAME=IP` as well. */
function hostOf(text: string): string {
  const [, name = "", address = ""] = /^([^:=]+)[:=](.+)$/.exec(text) ?? [];
  if (name === "") throw invalid("--add-host", text, "not understood", '"name:10.0.0.1"');
  if (address === "host-gateway")
    throw invalid("--add-host", text, "no network of a build leads to the host", "--network host is the host's own");
  return `${name}:${address.replace(/^\[(.*)\]$/, "$1")}`;
}

function oneOf<Word extends string>(flag: string, text: string, words: readonly Word[]): Word {
  const found = words.find((word) => word === text);
  if (found === undefined) throw invalid(flag, text, "not known", words.join(", "));
  return found;
}
