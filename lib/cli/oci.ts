/** `tsbox oci` among the commands that `tsbox --help` lists; `main.ts` does not come here to perform it. @module */
import type { Verb } from "./verb.ts";

const SUMMARY = "The runtime that engines call: create, start, kill, …";

export function addOci(tsbox: Verb): void {
  tsbox
    .command("oci")
    .summary(SUMMARY)
    .description(`${SUMMARY}\n\n"tsbox oci --help" tells more; a link to tsbox named tsbox-oci is the same.`)
    .usage("[FLAGS] COMMAND [ARG...]")
    .helpOption("--help", "Print this help and quit");
}
