/** Host names, in the one form in which they are compared. @module */

const MAX_NAME_BYTES = 253;
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
/** What a URL would take for something else than a part of the name. */
const FOREIGN = /[\s/?#@:%\\[\]]/;

/** In lower case, letters of other scripts as punycode, without the dot at the end; undefined for what is none. */
export function findName(text: string): string | undefined {
  const plain = text.replace(/\.$/, "").toLowerCase();
  // names of DNS are ASCII mostly: a URL is not parsed for them
  const name = /^[ -~]*$/.test(plain) ? plain : asciiOf(plain);
  if (name === undefined || name.length > MAX_NAME_BYTES) return undefined;
  const labels = name.split(".");
  if (!labels.every((label) => LABEL.test(label))) return undefined;
  // an address, in one of the forms that are not understood everywhere
  return /^(\d+|0x[\da-f]*)$/.test(labels.at(-1) ?? "") ? undefined : name;
}

function asciiOf(text: string): string | undefined {
  if (FOREIGN.test(text)) return undefined;
  try {
    return new URL(`http://${text}/`).hostname;
  } catch {
    return undefined;
  }
}

export const isBelow = (name: string, parent: string): boolean =>
  name.length > parent.length + 1 && name.endsWith(`.${parent}`);
