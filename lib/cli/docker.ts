/**
 * What Docker has and tsbox does not: why, and what to use instead. Loaded only for words that are unknown.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/run/
 */
import { UsageError } from "./report.ts";
import type { UnknownWord } from "./verb.ts";

type Reason = [why: string, hint: string];

const GONE = "a sandbox is gone with its command, and containers that last are not there yet";
const RUN = '"tsbox run" runs a command in a sandbox of its own';
const DURABLE: Reason = [
  GONE,
  "leave it out; what outlives tsbox is a matter of the shell or of systemd: nohup, systemd-run",
];
const NO_BUILDS = "images are not built here yet";
const BUILT = '"tsbox import" makes one of an archive, and "tsbox pull" gets one that somebody else has built';
const TRUST: Reason = [
  "signatures of names are not supported",
  "leave it out; what comes is compared with its digests",
];
const NETWORK: Reason = [
  "a sandbox has a loopback, or the host's network; others are not there yet",
  "leave it out, or use --network host",
];
const HEALTH: Reason = ["there are no health checks", "leave it out"];
const LOGS: Reason = ["stdout and stderr are tsbox's own, and nobody keeps logs", "redirect them: >out.log 2>err.log"];
const VOLUMES: Reason = ["named volumes are not there yet", "-v mounts a directory"];
const REAL_TIME: Reason = ["real-time groups are not supported: few kernels have them", "--cpus limits CPU time"];
const WINDOWS: Reason = ["that is for Windows", "leave it out"];
const NO_LABELS: Reason = ["there is nothing that lasts and could be labelled", "leave it out"];

/** Flags of `docker run`. */
const FLAGS: Record<string, Reason> = {
  "--add-host": ["/etc/hosts is that of the root filesystem", 'bind one of your own: "-v ./hosts:/etc/hosts:ro"'],
  "--annotation": NO_LABELS,
  "--cidfile": ["a sandbox has no id", "leave it out"],
  "--cpu-count": WINDOWS,
  "--cpu-percent": WINDOWS,
  "--cpu-rt-period": REAL_TIME,
  "--cpu-rt-runtime": REAL_TIME,
  "--detach": DURABLE,
  "--detach-keys": DURABLE,
  "--disable-content-trust": TRUST,
  "--dns": NETWORK,
  "--dns-opt": NETWORK,
  "--dns-option": NETWORK,
  "--dns-search": NETWORK,
  "--expose": NETWORK,
  "--gpus": ["devices of graphics cards are not supported yet", "leave it out"],
  "--health-cmd": HEALTH,
  "--health-interval": HEALTH,
  "--health-retries": HEALTH,
  "--health-start-interval": HEALTH,
  "--health-start-period": HEALTH,
  "--health-timeout": HEALTH,
  "--ip": NETWORK,
  "--ip6": NETWORK,
  "--io-maxbandwidth": WINDOWS,
  "--io-maxiops": WINDOWS,
  "--isolation": WINDOWS,
  "--kernel-memory": ["the kernel has no such limit any more", "-m counts the kernel's memory, too"],
  "--label": NO_LABELS,
  "--label-file": NO_LABELS,
  "--link": NETWORK,
  "--link-local-ip": NETWORK,
  "--log-driver": LOGS,
  "--log-opt": LOGS,
  "--mac-address": NETWORK,
  "--name": DURABLE,
  "--net-alias": NETWORK,
  "--network-alias": NETWORK,
  "--no-healthcheck": HEALTH,
  "--privileged": [
    "nothing takes all protections away at once",
    "name them: --cap-add ALL --security-opt seccomp=unconfined --userns host",
  ],
  "--publish": NETWORK,
  "--publish-all": NETWORK,
  "--restart": DURABLE,
  "--runtime": ["tsbox is the runtime", "leave it out"],
  "--storage-opt": ["there is no storage driver", 'a size: "--tmpfs /tmp:size=64m"'],
  "--use-api-socket": ["there is no daemon, and so no socket of it", "leave it out"],
  "--volume-driver": VOLUMES,
  "--volumes-from": VOLUMES,
};
const SHORT: Record<string, string> = {
  "-d": "--detach",
  "-l": "--label",
  "-p": "--publish",
  "-P": "--publish-all",
};

/** Flags of other commands, by the last word of these. */
const OTHER_FLAGS: Record<string, Record<string, Reason>> = {
  pull: { "--disable-content-trust": TRUST },
  push: { "--disable-content-trust": TRUST },
  images: { "--tree": ["an image is for one platform here", "leave it out"] },
  ls: { "--tree": ["an image is for one platform here", "leave it out"] },
  prune: { "--volumes": ["there are no volumes that last", "leave it out"] },
};

/** Commands of `docker`. */
const COMMANDS: [names: string, ...Reason][] = [
  ["attach commit container cp create diff exec export inspect kill logs pause port ps rename restart rm", GONE, RUN],
  ["start stats stop top unpause update wait", GONE, RUN],
  ["build builder buildx", NO_BUILDS, BUILT],
  [
    "manifest",
    "indexes of several images are not made here",
    'one is looked at as it is pulled: "tsbox pull --platform"',
  ],
  ["search", "registries have no search that is the same for all of them", "the web pages of the registry have one"],
  ["network", NETWORK[0], '"tsbox run --network none" or "host"'],
  ["volume", VOLUMES[0], '"tsbox run -v ./directory:/inside"'],
  ["info", "there is no daemon that could be asked", 'what the host offers: "tsbox doctor"'],
];

/** Every flag that is explained, for tests. */
export const EXPLAINED = [...Object.keys(FLAGS), ...Object.keys(SHORT)];

/** Says why, where Docker knows the word. */
export function explainUnknown(error: UnknownWord): UsageError {
  const [word = ""] = error.word.split("=");
  if (!word.startsWith("-")) {
    const [, why, hint] = COMMANDS.find(([names]) => names.split(" ").includes(word)) ?? [];
    if (why === undefined || hint === undefined || error.verb !== "tsbox") return error;
    return new UsageError(`run the command "${word}": ${why}`, hint);
  }
  const verb = error.verb.slice(error.verb.lastIndexOf(" ") + 1);
  const known = verb === "run" ? FLAGS[SHORT[word] ?? word] : OTHER_FLAGS[verb]?.[word];
  return known ? new UsageError(`use ${word}: ${known[0]}`, known[1]) : error;
}
