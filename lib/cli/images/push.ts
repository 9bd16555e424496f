/** `tsbox push`: an image, into a registry. @module */
import { familiarReference, parseReference, repositoryOf, withDefaultTag } from "../../image/index.ts";
import { print } from "../print.ts";
import { checkPlatform } from "./check-platform.ts";
import { declare, type Add } from "./declare.ts";
import { progressOn } from "./progress.ts";
import { registryOf, REGISTRY_FLAGS, type RegistryFlags } from "./registry-flags.ts";
import { withImages } from "./with-images.ts";

interface PushFlags extends RegistryFlags {
  allTags?: boolean;
  platform?: string;
  quiet?: boolean;
}

export const addPush: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Upload an image to a registry",
      usage: "[FLAGS] NAME[:TAG]",
      words: ["<NAME>"],
      flags: [
        ["-a, --all-tags", "All tags of the repository that are here"],
        ["--platform <PLATFORM>", "Only where the image is for this platform"],
        ["-q, --quiet", "Print the name alone, when it is there"],
        ...REGISTRY_FLAGS,
      ],
    },
    (image: string, flags: PushFlags) =>
      withImages(async (images, signal) => {
        const given = parseReference(image);
        const reference = flags.allTags ? given : withDefaultTag(given);
        await checkPlatform(images, image, flags.platform);
        const progress = flags.quiet ? undefined : progressOn("push", 1);
        if (reference !== given) progress?.say("Using default tag: latest");
        progress?.say(`The push refers to repository [${repositoryOf(given)}]`);
        const options = {
          signal,
          registry: registryOf(flags),
          ...(progress
            ? { onProgress: (event: Parameters<typeof progress.onProgress>[0]) => progress.onProgress(event) }
            : {}),
        };
        try {
          const pushed = flags.allTags ? await images.pushAll(image, options) : [await images.push(image, options)];
          progress?.finish();
          for (const { reference: name, digest, sizeBytes } of pushed)
            progress?.say(`${parseReference(name).tag ?? ""}: digest: ${digest} size: ${sizeBytes}`);
        } finally {
          progress?.finish();
        }
        if (flags.quiet) print(`${familiarReference(reference)}\n`);
      }),
  );
