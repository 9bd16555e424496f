/** Verbs that change a container: `delete`, `kill`, `pause`, `resume`, `update`. @module */
import * as engine from "../../oci/index.ts";
import { UsageError, type Call } from "./flags.ts";

const LAST_SIGNAL = 64;

export async function remove({ runtime, args: [id = ""], values }: Call): Promise<void> {
  await engine.remove(runtime, id, { force: values.flag("force") });
}

export async function kill({ runtime, args: [id = "", signal = "TERM"], values }: Call): Promise<void> {
  await engine.kill(runtime, id, signalOf(signal), { all: values.flag("all") });
}

function signalOf(text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : undefined;
  if (number === 0) return 0; // whether it is there
  try {
    return engine.signalNumber(number ?? text);
  } catch {
    throw new UsageError(
      number === undefined ? `unknown signal ${JSON.stringify(text)}` : `unknown signal ${number}: 0 to ${LAST_SIGNAL}`,
    );
  }
}

export const pause = ({ runtime, args: [id = ""] }: Call): Promise<void> => engine.pause(runtime, id);
export const resume = ({ runtime, args: [id = ""] }: Call): Promise<void> => engine.resume(runtime, id);
