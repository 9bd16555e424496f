/**
 * What a machine's Docker is told of registries: its mirrors of docker.io, and registries that may do without TLS.
 * @module
 * @see https://docs.docker.com/reference/cli/dockerd/#daemon-configuration-file
 */
import { readFile, show, TsboxError } from "../../syscalls/index.ts";
import type { HostOptions } from "./hosts.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Of the user's own daemon, and of the machine's; the first that is there counts. */
function files({ HOME: home, XDG_CONFIG_HOME: config = home && `${home}/.config` }: Environment): string[] {
  return [...(config ? [`${config}/docker/daemon.json`] : []), "/etc/docker/daemon.json"];
}

/** @throws TsboxError `invalid_option` for a file that dockerd would not start with */
export function daemonHosts(environment: Environment = process.env): Pick<HostOptions, "mirrors" | "insecure"> {
  for (const file of files(environment)) {
    const bytes = readFile(file);
    if (bytes === undefined) continue;
    const read = readConfig(file, bytes);
    return {
      mirrors: textsOf(file, read, "registry-mirrors"),
      insecure: textsOf(file, read, "insecure-registries").map((text) => text.replace(/^https?:\/\//, "")),
    };
  }
  return {};
}

function readConfig(file: string, bytes: Uint8Array): Record<string, unknown> {
  const text = new TextDecoder().decode(bytes);
  try {
    // dockerd takes an empty file
    const value: unknown = text.trim() === "" ? {} : JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw wrong(file, "it is not a JSON object");
}

function textsOf(file: string, config: Record<string, unknown>, key: string): string[] {
  const value = config[key] ?? [];
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  throw wrong(file, `"${key}" is not a list of texts`);
}

const wrong = (file: string, why: string) =>
  new TsboxError(`read ${show(file)}: ${why}`, { code: "invalid_option", hint: "dockerd --validate says more" });
