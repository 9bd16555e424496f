/** `tsbox run` of an image that is not to be had. @module */
import { access } from "../sandbox/index.ts";

/** Why there is no such image: a command is often meant, as they were the first word once. */
const NO_IMAGE = ["image_not_found", "reference_invalid", "registry_denied", "registry_error"];
const X_OK = 1;

/**
 * The same error, in Docker's words, with the hint that a view of the host would have been meant, where the first word is
 * a command there.
 */
export function explained(error: unknown, first: string): unknown {
  const { code } = error as { code?: string };
  if (code === undefined || !NO_IMAGE.includes(code)) return error;
  const failure = error as Error;
  failure.message = failure.message.replace(
    /^use the image "(.*)"(.*): it is not in the store$/,
    "No such image: $1$2",
  );
  if (!isCommand(first)) return failure;
  return Object.assign(failure, {
    hint: `for a command of the host: "tsbox run --rootfs host ${first} …"; an image stands before its command`,
  });
}

function isCommand(word: string): boolean {
  if (word.startsWith("/") || word.startsWith("./")) return access(word, X_OK);
  if (word.includes("/")) return false;
  return (process.env["PATH"] ?? "").split(":").some((directory) => access(`${directory}/${word}`, X_OK));
}
