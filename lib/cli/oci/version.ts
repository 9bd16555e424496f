/** `tsbox-oci --version`, in the lines that engines parse: `NAME version NUMBER`, `commit:`, `spec:`. @module */
import { version } from "../../../package.json" with { type: "json" };
import { OCI_VERSION } from "../../oci/index.ts";
import { print } from "../print.ts";
import { IN_PLACE_OF } from "./help.ts";

/** Whose flags these are. */
const RUNC = "1.5.0";
/** @returns the exit status */
export function printVersion(program: string): number {
  const commit = process.env.TSBOX_COMMIT ?? "unknown";
  // Docker takes what is behind the last "version"
  print(`${program} (${IN_PLACE_OF} version ${RUNC}) version ${version}\ncommit: ${commit}\nspec: ${OCI_VERSION}\n`);
  return 0;
}
