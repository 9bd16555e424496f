/** What volumes are called. @module */

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Of a name in a directory. */
const MAX_BYTES = 255;

/** Docker's words; undefined for one that is fine. */
export function nameProblem(name: string): string | undefined {
  if (name.length === 1) return "volume name is too short, names should be at least two alphanumeric characters";
  if (name.length > MAX_BYTES) return `volume name is too long, names should be at most ${MAX_BYTES} characters`;
  if (NAME.test(name)) return undefined;
  return `"${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`;
}

/** As Docker's of volumes that nobody has named. */
export const newName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(32)), (byte) => byte.toString(16).padStart(2, "0")).join("");
