/** `--chown`: a user and a group, by names that the target knows, or numbers. @module */
import { show, TsboxError } from "../../../syscalls/index.ts";
import { findGroup, findUser, MAX_ID } from "../../accounts/index.ts";

export interface Owner {
  uid: number;
  gid: number;
}

/**
 * Of a number alone the group is the same number; of a name, what the target's accounts say.
 * @param layers of the target, the topmost first
 * @throws TsboxError `invalid_option`, `user_not_found`
 */
export function ownerOf(text: string, layers: readonly string[]): Owner {
  const [user = "", group, ...rest] = text.split(":");
  if (rest.length > 0 || (user === "" && (group ?? "") === ""))
    throw new TsboxError(`use the owner ${show(text)}: not understood`, {
      code: "invalid_option",
      hint: '"user", "user:group" or ":group", by name or number',
    });
  const accounts = { layers };
  const number = /^\d+$/.test(user) ? Number(user) : undefined;
  if (number !== undefined && number > MAX_ID)
    throw new TsboxError(`use the owner ${show(text)}: above ${MAX_ID}`, { code: "invalid_option" });
  const { uid, gid } =
    user === "" ? { uid: 0, gid: 0 } : number === undefined ? findUser(user, accounts) : { uid: number, gid: number };
  return { uid, gid: group === undefined || group === "" ? gid : findGroup(group, accounts) };
}
