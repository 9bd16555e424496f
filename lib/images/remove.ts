/** Which names go with an image that is removed, and whether it goes with them: as `docker rmi` decides. @module */
import { familiarRepository, formatReference, withDefaultTag } from "../image/index.ts";
import type { StoredImage } from "../store/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { anyReference, tryReference } from "./summary.ts";

export interface Removal {
  /** As they are written in the store. */
  names: string[];
  /** Nothing is left that leads to it. */
  isLast: boolean;
  /** It was asked for by its id. */
  byId: boolean;
}

/**
 * @param asked for by a name or an id. A name alone goes while there are others; with the last tag of a repository go
 * the digests that the image has there.
 * @param force an id that has names in several repositories
 * @throws TsboxError `image_in_use` for such an id otherwise
 */
export function planRemoval({ names }: Pick<StoredImage, "names">, asked: string, force = false): Removal {
  const reference = anyReference(asked);
  const whole = reference && formatReference(withDefaultTag(reference));
  const name = names.find((each) => each === asked) ?? names.find((each) => each === whole);
  if (name === undefined) {
    const repositories = new Set(names.filter(isTag).map(repository));
    if (repositories.size > 1 && !force)
      throw new TsboxError(`remove the image ${show(asked)}: it has names in several repositories`, {
        code: "image_in_use",
        hint: `remove them by their names, or force it: ${names.filter(isTag).join(" ")}`,
      });
    return { names: [...names], isLast: true, byId: true };
  }
  const others = names.filter((each) => each !== name);
  if (others.some(isTag)) {
    const isAlone = !others.some((each) => isTag(each) && repository(each) === repository(name));
    const digests =
      isTag(name) && isAlone ? others.filter((each) => !isTag(each) && repository(each) === repository(name)) : [];
    return { names: [name, ...digests], isLast: false, byId: false };
  }
  // what is left are digests, which go with the last tag, but not with one of themselves
  const isLast = isTag(name) || others.length === 0;
  return { names: isLast ? [name, ...others] : [name], isLast, byId: false };
}

/** What others wrote is a tag, whatever it is. */
const isTag = (name: string): boolean => tryReference(name)?.digest === undefined;

function repository(name: string): string {
  const reference = tryReference(name);
  return reference ? familiarRepository(reference) : name;
}
