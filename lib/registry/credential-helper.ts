/**
 * Programs that keep passwords: `docker-credential-NAME get`, `store`, `erase`, `list`, over standard input and output.
 * @module
 * @see https://github.com/docker/docker-credential-helpers#development
 */
import { show, TsboxError } from "../../syscalls/index.ts";
import type { Credentials } from "./authorizer.ts";
import { clean } from "./failure.ts";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const MAX_OUTPUT = 256 * 1024;
/** It may ask somebody for a password that unlocks the others. */
const ANSWER_MS = 60_000;
/** What helpers say that have nothing; on standard output. */
const NOT_FOUND = /credentials not found/i;
/** A name that says that the secret is an identity token. */
const TOKEN_USER = "<token>";

export type HelperAction = "get" | "store" | "erase" | "list";

export class CredentialHelper {
  readonly program: string;
  readonly #answerMs: number;

  /** @throws TsboxError where the name is not one: it is part of that of a program */
  constructor(name: string, answerMs = ANSWER_MS) {
    if (!NAME.test(name))
      throw new TsboxError(`use the credential helper ${show(name)}: not the name of one`, { code: "invalid_option" });
    this.program = `docker-credential-${name}`;
    this.#answerMs = answerMs;
  }

  async get(server: string): Promise<Credentials | undefined> {
    const { status, output } = await this.#run("get", server);
    if (status !== 0) {
      if (NOT_FOUND.test(output)) return undefined;
      throw this.#failed("get", output || `exit status ${status}`);
    }
    const { Username: username, Secret: secret } = this.#json("get", output);
    if (typeof username !== "string" || typeof secret !== "string")
      throw this.#failed("get", "no name and secret in its answer");
    if (username === "" && secret === "") return undefined;
    return username === TOKEN_USER ? { identityToken: secret } : { username, password: secret };
  }

  async store(server: string, { username = "", password, identityToken }: Credentials): Promise<void> {
    const value = {
      ServerURL: server,
      Username: identityToken === undefined ? username : TOKEN_USER,
      Secret: identityToken ?? password ?? "",
    };
    const { status, output } = await this.#run("store", JSON.stringify(value));
    if (status !== 0) throw this.#failed("store", output || `exit status ${status}`);
  }

  /** @returns whether there was something */
  async erase(server: string): Promise<boolean> {
    const { status, output } = await this.#run("erase", server);
    if (status !== 0 && !NOT_FOUND.test(output)) throw this.#failed("erase", output || `exit status ${status}`);
    return status === 0;
  }

  /** Servers, and the names that are kept for them. */
  async list(): Promise<Record<string, string>> {
    const { status, output } = await this.#run("list", "");
    if (status !== 0) throw this.#failed("list", output || `exit status ${status}`);
    const pairs = Object.entries(this.#json("list", output)).filter(([, user]) => typeof user === "string");
    return Object.fromEntries(pairs) as Record<string, string>;
  }

  #failed(action: HelperAction, why: string): TsboxError {
    return new TsboxError(`${this.program} ${action}: ${clean(why)}`, { code: "registry_denied" });
  }

  #json(action: HelperAction, output: string): Record<string, unknown> {
    try {
      return Object(JSON.parse(output)) as Record<string, unknown>;
    } catch {
      throw this.#failed(action, "its answer is no JSON");
    }
  }

  /** Its secrets go through pipes: neither arguments nor files hold them. */
  #run(action: HelperAction, input: string): Promise<{ status: number; output: string }> {
    const { spawn } = process.getBuiltinModule("node:child_process");
    return new Promise((resolve, reject) => {
      const child = spawn(this.program, [action], { stdio: ["pipe", "pipe", "ignore"] });
      const give = (error: Error) => {
        child.kill("SIGKILL");
        reject(error);
      };
      const timer = setTimeout(() => give(this.#failed(action, "no answer")), this.#answerMs);
      const parts: Buffer[] = [];
      let length = 0;
      child.stdout.on("data", (part: Buffer) => {
        parts.push(part);
        if ((length += part.length) > MAX_OUTPUT) give(this.#failed(action, "too long an answer"));
      });
      child.on("error", (cause: Error & { code?: string }) => {
        const missing = cause.code === "ENOENT";
        const hint = missing ? "install it, or take its name out of config.json (credsStore, credHelpers)" : undefined;
        const why = missing ? "there is no such program" : cause.message;
        const code = "registry_denied";
        give(new TsboxError(`${this.program} ${action}: ${why}`, { code, cause, ...(hint ? { hint } : {}) }));
      });
      child.on("close", (status: number | null) => {
        clearTimeout(timer);
        resolve({ status: status ?? -1, output: Buffer.concat(parts).toString() });
      });
      // one that does not read has not been asked anything that it needs
      child.stdin.on("error", () => undefined);
      child.stdin.end(action === "list" ? "" : `${input}\n`);
    });
  }
}
