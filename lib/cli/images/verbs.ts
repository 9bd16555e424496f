/** The verbs of images, as commands of their own and below `tsbox image` and `tsbox system`. @module */
import type { Verb } from "../verb.ts";
import type { Add } from "./declare.ts";
import { addDiskUsage } from "./disk-usage.ts";
import { addHistory } from "./history.ts";
import { addImport } from "./import.ts";
import { addImageInspect, addInspect } from "./inspect.ts";
import { addImages } from "./list.ts";
import { addLoad } from "./load.ts";
import { addLogin } from "./login.ts";
import { addLogout } from "./logout.ts";
import { addImagePrune, addSystemPrune } from "./prune.ts";
import { addPull } from "./pull.ts";
import { addPush } from "./push.ts";
import { addRemove } from "./remove.ts";
import { addSave } from "./save.ts";
import { addTag } from "./tag.ts";

const OWN: Record<string, Add> = {
  pull: addPull,
  push: addPush,
  images: addImages,
  inspect: addInspect,
  history: addHistory,
  tag: addTag,
  rmi: addRemove,
  save: addSave,
  load: addLoad,
  import: addImport,
  login: addLogin,
  logout: addLogout,
};

const OF_IMAGE: Record<string, Add> = {
  ls: addImages,
  pull: addPull,
  push: addPush,
  inspect: addImageInspect,
  history: addHistory,
  tag: addTag,
  rm: addRemove,
  save: addSave,
  load: addLoad,
  import: addImport,
  prune: addImagePrune,
};

const ALIASES: Record<string, string> = { ls: "list", rm: "remove" };

export function addImageVerbs(tsbox: Verb): void {
  for (const [name, add] of Object.entries(OWN)) add(tsbox, name);
  const image = tsbox.command("image") as Verb;
  image.usage("COMMAND").summary("Manage images").description("Manage images");
  for (const [name, add] of Object.entries(OF_IMAGE)) add(image, name);
  for (const verb of image.commands) if (ALIASES[verb.name()]) verb.alias(ALIASES[verb.name()] as string);
  const system = tsbox.command("system") as Verb;
  system
    .usage("COMMAND")
    .summary("Space that is used, and what nobody uses")
    .description("Space that is used, and what nobody uses");
  addDiskUsage(system, "df");
  addSystemPrune(system, "prune");
}
