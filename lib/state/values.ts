/** Values as text: JSON, which has no `undefined` and no `Infinity`, with strings for these that begin with NUL. @module */

const MARK = "\0";
const AS_WRITTEN = JSON.stringify(MARK).slice(1, -1);
const SPECIAL: Record<string, unknown> = {
  undefined: undefined,
  "∞": Infinity,
  "-∞": -Infinity,
};

export const toText = (value: unknown): string => JSON.stringify(value, (_, each: unknown) => marked(each));

function marked(value: unknown): unknown {
  if (typeof value === "string" && value.startsWith(MARK)) return `${MARK}=${value}`;
  if (value === undefined) return `${MARK}undefined`;
  if (value === Infinity) return `${MARK}∞`;
  return value === -Infinity ? `${MARK}-∞` : value;
}

/** @throws SyntaxError */
export function fromText(text: string): unknown {
  const value: unknown = JSON.parse(text);
  return text.includes(AS_WRITTEN) ? unmarked(value) : value;
}

function unmarked(value: unknown): unknown {
  if (typeof value === "string" && value.startsWith(MARK)) {
    const name = value.slice(MARK.length);
    return name.startsWith("=") ? name.slice(1) : SPECIAL[name];
  }
  if (typeof value !== "object" || value === null) return value;
  for (const [key, each] of Object.entries(value)) (value as Record<string, unknown>)[key] = unmarked(each);
  return value;
}
