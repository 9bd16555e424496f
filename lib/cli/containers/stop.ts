/** `tsbox stop`: containers that run end, in good order or not. @module */
import type { Container, StopOptions } from "../../containers/index.ts";
import { declare, type Add } from "../images/declare.ts";
import type { Verb } from "../verb.ts";
import { forAll } from "./each.ts";
import { seconds } from "./options.ts";
import { signalOf } from "./signal.ts";
import { withContainers } from "./with-containers.ts";

export interface StopFlags {
  signal?: string;
  timeout?: string;
  /** Docker's older word for it. */
  time?: string;
}

const STOP_FLAGS: [written: string, description: string][] = [
  ["-s, --signal <SIGNAL>", "Instead of its own"],
  ["-t, --timeout <SECONDS>", "Kill what has not stopped until then; -1: never (default 10)"],
];

export const addStop: Add = (parent, name) =>
  declareEnding(parent, name, "Stop running containers", (each, options) => each.stop(options));

/** A verb that ends containers, each as it is told, and prints their names. */
export function declareEnding(
  parent: Verb,
  name: string,
  summary: string,
  act: (container: Container, options: StopOptions) => Promise<void>,
): void {
  const declaration = {
    summary,
    usage: "[FLAGS] CONTAINER [CONTAINER...]",
    words: ["<CONTAINER>", "[CONTAINER...]"],
    flags: STOP_FLAGS,
  };
  withTime(
    declare(parent, name, declaration, (first: string, more: string[], flags: StopFlags) =>
      withContainers((containers) => {
        const options = stopOptions(flags);
        return forAll([first, ...more], async (each) => {
          await act(await containers.get(each), options);
          return each;
        });
      }),
    ),
  );
}

/** `--time`, which no help shows. */
function withTime(verb: Verb): void {
  verb.addOption(verb.createOption("--time <SECONDS>").hideHelp());
}

/** @throws TsboxError `invalid_option` */
export function stopOptions({ signal, timeout, time }: StopFlags): StopOptions {
  const text = timeout ?? time;
  return {
    ...(signal === undefined ? {} : { signal: signalOf("--signal", signal) }),
    ...(text === undefined ? {} : { timeout: seconds("--timeout", text) }),
  };
}
