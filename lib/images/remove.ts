/** Which names go with an image that is removed, and whether it goes with them: as `docker rmi` decides. @module */
import { familiarRepository, formatReference, withDefaultTag, type Reference } from "../image/index.ts";
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
  const whole = reference && formatReference(reference.digest ? untagged(reference) : withDefaultTag(reference));
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

/** What counts of a name with a tag and a digest. */
function untagged(reference: Reference): Reference {
  const { tag: _, ...rest } = reference;
  return rest;
}

function repository(name: string): string {
  const reference = tryReference(name);
  return reference ? familiarRepository(reference) : name;
}

const SHORT = 12;
const short = (id: string): string => id.replace(/^sha256:/, "").slice(0, SHORT);

/**
 * What containers are made of stays without a name, where that is forced.
 * @returns whether there are such containers
 * @throws TsboxError `image_in_use` where it is not forced, or, by its id, one of them runs; in Docker's words
 */
export function keepForContainers(
  users: readonly { id: string; isRunning: boolean }[],
  { id }: Pick<StoredImage, "id">,
  asked: string,
  { byId, force }: { byId: boolean; force: boolean },
): boolean {
  const [user] = users;
  if (!user) return false;
  const refuse = (why: string) => new TsboxError(`conflict: unable to ${why}`, { code: "image_in_use" });
  const running = users.find(({ isRunning }) => isRunning);
  if (byId && running)
    throw refuse(
      `delete ${short(id)} (cannot be forced) - image is being used by running container ${short(running.id)}`,
    );
  if (force) return true;
  throw byId
    ? refuse(`delete ${short(id)} (must be forced) - image is being used by stopped container ${short(user.id)}`)
    : refuse(
        `remove repository reference "${asked}" (must force) - container ${short(user.id)} is using its referenced image ${short(id)}`,
      );
}
