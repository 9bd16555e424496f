/** The verbs of images, as commands of their own and below `tsbox image`. @module */
import { addGroup, addLater, type CommandLine, type LaterVerbs } from "../later.ts";
import { BUILD } from "../build/verbs.ts";
import type { Verb } from "../verb.ts";

/** Both `tsbox NAME` and `tsbox image NAME`. */
const BOTH: LaterVerbs = {
  ...BUILD,
  pull: {
    summary: "Download an image from a registry",
    load: async () => (await import("./pull.ts")).addPull,
  },
  push: {
    summary: "Upload an image to a registry",
    load: async () => (await import("./push.ts")).addPush,
  },
  history: {
    summary: "Show the history of an image",
    load: async () => (await import("./history.ts")).addHistory,
  },
  tag: {
    summary: "Give an image another name",
    load: async () => (await import("./tag.ts")).addTag,
  },
  save: {
    summary: "Save images to an archive",
    load: async () => (await import("./save.ts")).addSave,
  },
  load: {
    summary: "Load images from an archive",
    load: async () => (await import("./load.ts")).addLoad,
  },
  import: {
    summary: "Make an image of an archive of a file system",
    load: async () => (await import("./import.ts")).addImport,
  },
};

const REMOVE = { summary: "Remove images", load: async () => (await import("./remove.ts")).addRemove };
const LIST = { summary: "List images", load: async () => (await import("./list.ts")).addImages };

/** `tsbox NAME` only. */
const OWN: LaterVerbs = {
  images: LIST,
  rmi: REMOVE,
  login: {
    summary: "Log in to a registry",
    load: async () => (await import("./login.ts")).addLogin,
  },
  logout: {
    summary: "Log out from a registry",
    load: async () => (await import("./logout.ts")).addLogout,
  },
};

/** `tsbox image NAME` only. */
const OF_IMAGE: LaterVerbs = {
  ls: { ...LIST, alias: "list" },
  rm: { ...REMOVE, alias: "remove" },
  inspect: {
    summary: "Print all that is known of images",
    load: async () => (await import("./inspect.ts")).addImageInspect,
  },
  prune: {
    summary: "Remove unused images",
    load: async () => (await import("./prune.ts")).addImagePrune,
  },
};

export async function addImageVerbs(tsbox: Verb, line: CommandLine, all: boolean): Promise<void> {
  await addLater(tsbox, { ...BOTH, ...OWN }, line, all);
  await addGroup(tsbox, { name: "image", summary: "Manage images", verbs: { ...OF_IMAGE, ...BOTH } }, line, all);
}
