/** `tsbox tag`: another name for an image. @module */
import { declare, type Add } from "./declare.ts";
import { withImages } from "./with-images.ts";

export const addTag: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Give an image another name",
      usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
      words: ["<IMAGE>", "<NAME>"],
    },
    (image: string, target: string) => withImages((images) => images.tag(image, target)),
  );
