/** Asks the handler of a policy about what its lists let pass. @module */
import type { Verdict } from "./decide.ts";
import type { ConnectHandler, Connection } from "./options.ts";

/** Somebody inside waits for the answer. */
const ASK_TIMEOUT_MS = 10_000;
/** Who wants more at a time is denied: a sandbox cannot make this program wait for ever more. */
export const MAX_ASKED = 256;
/** Nor does it keep this program from anything else. */
export const MAX_ASKED_A_SECOND = 1000;

/** What is asked about: a flow with its names, or a name. */
export type Question =
  { protocol: "tcp" | "udp"; ip: string; port: number; names: readonly string[] } | { protocol: "dns"; name: string };

/** The questions of one sandbox. */
export class Asking {
  #asked = 0;

  /** Never rejects: a handler that throws denies. */
  async ask(handler: ConnectHandler, question: Question): Promise<Verdict> {
    if (this.#asked >= MAX_ASKED) return { allowed: false, rule: "connect: asked too much at a time" };
    this.#asked++;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<Verdict>((resolve) => {
      timer = setTimeout(resolve, ASK_TIMEOUT_MS, { allowed: false, rule: "connect: took longer than 10 s" });
    });
    try {
      return await Promise.race([answerOf(handler, connectionsOf(question)), late]);
    } finally {
      clearTimeout(timer);
      this.#asked--;
    }
  }
}

async function answerOf(handler: ConnectHandler, connections: Connection[]): Promise<Verdict> {
  try {
    for (const connection of connections) {
      // nothing but true is yes: an answer that was forgotten is none
      if ((await handler(connection)) === true) return { allowed: true, rule: "connect" };
    }
    return { allowed: false, rule: "connect" };
  } catch (error) {
    return {
      allowed: false,
      rule: `connect: threw ${error instanceof Error ? error.message.slice(0, 200) : ""}`.trim(),
    };
  }
}

function connectionsOf(question: Question): Connection[] {
  if (question.protocol === "dns") return [{ protocol: "dns", host: question.name, ip: undefined, port: 53 }];
  const { names, ...flow } = question;
  return (names.length > 0 ? names : [undefined]).map((host) => ({ ...flow, host }));
}
