/**
 * What Docker has and tsbox does not: why, and what to use instead. Loaded only for words that are unknown.
 * @module
 * @see https://docs.docker.com/reference/cli/docker/container/run/
 */
import { UsageError } from "./report.ts";
import type { UnknownWord } from "./verb.ts";

type Reason = [why: string, hint: string];

const ATTESTATIONS: Reason = ["nothing is attested here", "leave it out: the same inputs give the same digests"];
const NO_BUILDER: Reason = ["there is one builder, tsbox itself", "leave it out"];
const OF_CLASSIC: Reason = ["there are no containers between the steps", "leave it out"];
const TRUST: Reason = [
  "signatures of names are not supported",
  "leave it out; what comes is compared with its digests",
];
const LINK_LOCAL: Reason = ["addresses of the link itself are not chosen here", "leave it out"];
const REAL_TIME: Reason = ["real-time groups are not supported: few kernels have them", "--cpus limits CPU time"];
const WINDOWS: Reason = ["that is for Windows", "leave it out"];
const LINKS: Reason = [
  "links between containers are not supported",
  "--network NAME for both: they find each other by their names, and by --network-alias",
];
const CHECKPOINTS: Reason = ["checkpoints are not supported", "leave it out"];

/** Flags of `docker run` and `docker create`. */
const FLAGS: Record<string, Reason> = {
  "--cpu-count": WINDOWS,
  "--cpu-percent": WINDOWS,
  "--cpu-rt-period": REAL_TIME,
  "--cpu-rt-runtime": REAL_TIME,
  "--disable-content-trust": TRUST,
  "--gpus": ["there is no toolkit of a maker of graphics cards here", "--device /dev/dri/card0, and -v for libraries"],
  "--io-maxbandwidth": WINDOWS,
  "--io-maxiops": WINDOWS,
  "--kernel-memory": ["the kernel has no such limit any more", "-m counts the kernel's memory, too"],
  "--link": LINKS,
  "--link-local-ip": LINK_LOCAL,
  "--runtime": ["tsbox is the runtime", "leave it out"],
  "--storage-opt": [
    "there is no storage driver",
    '"--disk 64m", which lasts as long as it runs, or "--tmpfs /tmp:size=64m"',
  ],
  "--use-api-socket": ["there is no daemon, and so no socket of it", "leave it out"],
};
const SHORT: Record<string, string> = {};

const OF_SWARM: Reason = ["networks are those of one machine here", "leave it out"];
const IPAM: Reason = ["addresses are given by tsbox itself", "--subnet, --ip-range, --gateway"];
/** Flags of commands for networks, by their two last words. */
const NETWORK_FLAGS: Record<string, Record<string, Reason>> = {
  "network create": {
    "--attachable": OF_SWARM,
    "--ingress": OF_SWARM,
    "--scope": OF_SWARM,
    "--config-only": OF_SWARM,
    "--config-from": OF_SWARM,
    "--ipam-driver": IPAM,
    "--ipam-opt": IPAM,
    "--ipv4": [
      "a network has addresses of version 4 unless a subnet of version 6 alone is named",
      "--subnet fd00:1::/64",
    ],
  },
  "network connect": {
    "--link": LINKS,
    "--link-local-ip": LINK_LOCAL,
    "--driver-opt": ["its device is called eth0, eth1 and so on", "leave it out"],
    "--gw-priority": ["what leads elsewhere goes by the first network", "disconnect it, and connect it later"],
  },
  "network inspect": { "-v": OF_SWARM, "--verbose": OF_SWARM, "--scope": OF_SWARM },
};

/** Flags of other commands, by the last word of these. */
const OTHER_FLAGS: Record<string, Record<string, Reason>> = {
  build: {
    "--attest": ATTESTATIONS,
    "--builder": NO_BUILDER,
    "--call": ["there are no other calls than a build", "--check for its checks, --plan for its steps"],
    "--annotation": ["manifests get no annotations here", "--label, which is in the config"],
    "--compress": ["a context is not sent anywhere", "leave it out"],
    "--disable-content-trust": TRUST,
    "--force-rm": OF_CLASSIC,
    "--rm": OF_CLASSIC,
  },
  pull: { "--disable-content-trust": TRUST },
  push: { "--disable-content-trust": TRUST },
  images: { "--tree": ["an image is for one platform here", "leave it out"] },
  ls: { "--tree": ["an image is for one platform here", "leave it out"] },
  rm: { "--link": LINKS, "-l": LINKS },
  start: { "--checkpoint": CHECKPOINTS, "--checkpoint-dir": CHECKPOINTS },
  update: {
    "--cpu-rt-period": REAL_TIME,
    "--cpu-rt-runtime": REAL_TIME,
    "--kernel-memory": ["the kernel has no such limit any more", "-m counts the kernel's memory, too"],
  },
};

/** Commands of `docker`. */
const COMMANDS: [names: string, ...Reason][] = [
  ["buildx", "there is one builder, tsbox itself", '"tsbox build" has its flags'],
  [
    "manifest",
    "indexes of several images are not made here",
    'one is looked at as it is pulled: "tsbox pull --platform"',
  ],
  ["search", "registries have no search that is the same for all of them", "the web pages of the registry have one"],
  ["checkpoint", ...CHECKPOINTS],
  ["swarm node service stack secret config", "containers are those of one machine here", "leave it out"],
  ["context", "there is no daemon that could be somewhere else", "--root names another directory of this machine"],
  ["compose", "files of compose are not understood yet", '"tsbox run -d" starts one container'],
];

/** Every flag that is explained, for tests. */
export const EXPLAINED = [...Object.keys(FLAGS), ...Object.keys(SHORT)];

/** Says why, where Docker knows the word. */
export function explainUnknown(error: UnknownWord): UsageError {
  const [word = ""] = error.word.split("=");
  if (!word.startsWith("-")) {
    const [, why, hint] = COMMANDS.find(([names]) => names.split(" ").includes(word)) ?? [];
    if (why === undefined || hint === undefined || error.verb !== "tsbox") return error;
    return new UsageError(`run the command "${word}": ${why}`, hint, error.status);
  }
  const verb = error.verb.slice(error.verb.lastIndexOf(" ") + 1);
  const ofNetworks = NETWORK_FLAGS[error.verb.split(" ").slice(-2).join(" ")];
  if (ofNetworks) return explained(error, word, ofNetworks[word]);
  const known = verb === "run" || verb === "create" ? FLAGS[SHORT[word] ?? word] : OTHER_FLAGS[verb]?.[word];
  return explained(error, word, known);
}

const explained = (error: UnknownWord, word: string, reason: Reason | undefined): UsageError =>
  reason ? new UsageError(`use ${word}: ${reason[0]}`, reason[1]) : error;
