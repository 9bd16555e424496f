/** `tsbox pull`: an image, out of a registry. @module */
import type { Images } from "../../images/index.ts";
import {
  familiarReference,
  formatReference,
  parseReference,
  platformWarning,
  repositoryOf,
  withDefaultTag,
} from "../../image/index.ts";
import { print } from "../print.ts";
import { warn } from "../report.ts";
import { declare, PLATFORM, type Add } from "./declare.ts";
import { progressOn, type Progress } from "./progress.ts";
import { registryOf, REGISTRY_FLAGS, type RegistryFlags } from "./registry-flags.ts";
import { withImages } from "./with-images.ts";

interface PullFlags extends RegistryFlags {
  allTags?: boolean;
  platform?: string;
  quiet?: boolean;
}

export const addPull: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Download an image from a registry",
      usage: "[FLAGS] NAME[:TAG|@DIGEST]",
      words: ["<NAME>"],
      flags: [
        ["-a, --all-tags", "All tags of the repository"],
        ["--platform <PLATFORM>", PLATFORM],
        ["-q, --quiet", "Print the name alone, when it is there"],
        ...REGISTRY_FLAGS,
      ],
    },
    (image: string, flags: PullFlags) =>
      withImages((images, signal) =>
        flags.allTags ? pullAll(images, image, flags, signal) : pull(images, image, { ...flags, signal }),
      ),
  );

export interface PullManner extends RegistryFlags {
  platform?: string;
  quiet?: boolean;
  /** Where it is told, 1 unless set: `tsbox run` tells it on stderr. */
  fd?: number;
  signal?: AbortSignal;
}

/** Pulls an image, and tells of it as `docker pull` does. */
export async function pull(images: Images, name: string, manner: PullManner): Promise<void> {
  const { platform, quiet, fd = 1, signal } = manner;
  const given = parseReference(name);
  const reference = withDefaultTag(given);
  const progress = quiet ? undefined : progressOn("pull", fd);
  if (reference !== given) progress?.say("Using default tag: latest");
  try {
    const pulled = await images.pull(name, {
      ...options({ ...manner, ...(platform === undefined ? {} : { platform }) }, progress),
      ...(signal ? { signal } : {}),
    });
    progress?.finish();
    progress?.say(`Digest: ${pulled.digest}`);
    progress?.say(`Status: ${statusOf(pulled.isCurrent)} for ${familiarReference(reference)}`);
    const warning = platform === undefined ? platformWarning(pulled.platform) : undefined;
    if (warning !== undefined) warn([warning]);
  } finally {
    progress?.finish();
  }
  print(`${formatReference(reference)}\n`, fd);
}

async function pullAll(images: Images, name: string, flags: PullFlags, signal: AbortSignal): Promise<void> {
  const reference = parseReference(name);
  const progress = flags.quiet ? undefined : progressOn("pull", 1);
  try {
    const pulled = await images.pullAll(name, { ...options(flags, progress), signal });
    progress?.finish();
    const last = pulled.at(-1);
    if (last) progress?.say(`Digest: ${last.digest}`);
    const isCurrent = pulled.every((each) => each.isCurrent);
    progress?.say(`Status: ${statusOf(isCurrent)} for ${familiarReference(reference)}`);
  } finally {
    progress?.finish();
  }
  print(`${repositoryOf(reference)}\n`);
}

const statusOf = (isCurrent: boolean) => (isCurrent ? "Image is up to date" : "Downloaded newer image");

/** Each image begins with its tag; of several, each but the last one ends when the next one begins. */
function options({ platform, ...flags }: PullFlags, progress: Progress | undefined) {
  let [count, digest] = [0, ""];
  return {
    registry: registryOf(flags),
    ...(platform === undefined ? {} : { platform }),
    ...(progress
      ? {
          onProgress(event: Parameters<Progress["onProgress"]>[0]) {
            if (event.type === "resolved") digest = event.digest;
            if (event.type === "resolving") {
              if (count++ > 0) {
                progress.finish();
                if (digest !== "") progress.say(`Digest: ${digest}`);
              }
              const { tag, digest: named, path } = parseReference(event.reference);
              progress.say(`${tag ?? named ?? ""}: Pulling from ${path}`);
            }
            progress.onProgress(event);
          },
        }
      : {}),
  };
}
