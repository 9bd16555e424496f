/** A case: what a command line does, seen from outside. Each is independent of all others, and takes back what it made. @module */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { expect } from "bun:test";
import { SLOW } from "../support/machine.ts";
import type { Folder } from "../support/rootfs.ts";
import type { Engine } from "./engine.ts";
import { BOX } from "./images.ts";

export interface Ended {
  status: number;
  stdout: string;
  stderr: string;
}

/** Why it cannot be tried on this machine: nothing to do with what an engine can. */
export type Need = "limits" | "root" | "freezer";

export interface Case {
  name: string;
  body: (c: Context) => Promise<unknown>;
  needs?: Need;
}

export const CASES: Case[] = [];

/** @param name a sentence about what Docker documents, unique among all */
export function e2e(name: string, body: Case["body"], needs?: Need): void {
  CASES.push({ name, body, ...(needs ? { needs } : {}) });
}

/** What is said of the container `no-such`: in Docker's words, or in podman's. */
export const NO_SUCH =
  /No such container: no-such|no container with name or ID "no-such" found|container "no-such" does not exist/i;

/** No command takes so long. */
const COMMAND_MS = 30_000 * SLOW;
/** No longer than that is waited for something to become true. */
const PATIENCE_MS = 10_000 * SLOW;

/** Runs until somebody ends it, and does so at once when it is asked to, also as pid 1. */
export const UNTIL_TERM = ["sh", "-c", 'trap "exit 0" TERM; while :; do sleep 0.05; done'];

export class Context {
  readonly #engine: Engine;
  readonly #folder: Folder;
  readonly #number: number;
  readonly #started: Background[] = [];
  /** Everything that was called and what it said, for who has to find out what went wrong. */
  readonly told: string[] = [];
  /** Whether there may be volumes now. */
  usesVolumes = false;
  #directory: string | undefined;
  #files = 0;

  constructor(engine: Engine, folder: Folder, number: number) {
    [this.#engine, this.#folder, this.#number] = [engine, folder, number];
  }

  /** Of a container or a volume, of this case alone. */
  name(which = "c"): string {
    return `e2e-${this.#number}-${which}`;
  }

  /** On the host. */
  get directory(): string {
    return (this.#directory ??= mkdtempSync(join(this.#folder.path, "case-")));
  }

  /** A file on the host. @returns its path */
  file(content: string, name = `file-${this.#files++}`): string {
    return this.#folder.write(join(this.directory.slice(this.#folder.path.length + 1), name), content);
  }

  async call(words: string[], stdin?: string, env: Record<string, string> = {}): Promise<Ended> {
    if (words.some((word) => /^(volume|-v|--volume.*|--mount)(=|$)/.test(word) || word.endsWith("/data:1")))
      this.usesVolumes = true;
    const child = Bun.spawn(this.#engine.command(words, this.directory), {
      cwd: this.directory,
      env: { ...this.#engine.env, ...env },
      // not /dev/null, which older runtimes give to the container's root
      stdin: new Blob([stdin ?? ""]),
      stdout: "pipe",
      stderr: "pipe",
      timeout: COMMAND_MS,
      killSignal: "SIGKILL",
    });
    const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    this.told.push(`$ ${words.join(" ")}\n${stdout}${stderr}→ ${status}`);
    return { status, stdout, stderr };
  }

  /** A command that succeeds. @returns what it printed, without the last line's end */
  async ok(...words: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.call(words);
    expect({ words, status, stderr: status === 0 ? "" : stderr }).toEqual({ words, status: 0, stderr: "" });
    return stdout.replace(/\n$/, "");
  }

  /** A command that fails. @returns what it says about that */
  async fails(status: number, ...words: string[]): Promise<string> {
    const ended = await this.call(words);
    const expected = status === 1 ? this.#engine.refused : status;
    expect({ words, status: ended.status }).toEqual({ words, status: expected });
    expect(ended.stderr).not.toBe("");
    return ended.stderr;
  }

  /** Starts a container in the background. @returns its name */
  async up(flags: string[] = [], command: string[] = ["sleep", "1000"], image = BOX, which = "c"): Promise<string> {
    await this.ok("run", "-d", "--name", this.name(which), ...flags, image, ...command);
    return this.name(which);
  }

  /** Runs a shell's script in a container of its own. @returns what it printed, on both */
  async sh(flags: string[], script: string, image = BOX): Promise<string> {
    const { stdout, stderr } = await this.call(["run", ...flags, "--entrypoint", "sh", image, "-c", script]);
    return (stdout + stderr).replace(/\n$/, "");
  }

  inspect(container: string, format: string): Promise<string> {
    return this.ok("inspect", "--format", format, container);
  }

  /** What has happened up to now: Docker has whole seconds only where a time is relative. */
  events(...flags: string[]): Promise<string> {
    const until = new Date(Date.now() + 200).toISOString();
    return this.ok("events", "--since", "5m", "--until", until, ...flags);
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await Bun.sleep(20))
      if (await holds()) return;
    throw new Error(`it never came about: ${what}`);
  }

  /** Waits until a container is in a state: `exited`, … */
  async untilIs(container: string, status: string): Promise<void> {
    await this.until(
      `${container} is ${status}`,
      async () => (await this.call(["inspect", "-f", "{{.State.Status}}", container])).stdout.trim() === status,
    );
  }

  /** A command beside the others; with a terminal where a size is given. */
  background(words: string[], terminal?: { cols: number; rows: number }): Background {
    const started = new Background(this.#engine, words, this.directory, terminal);
    this.#started.push(started);
    return started;
  }

  /** Ends what runs, removes what is there. */
  async clean(): Promise<void> {
    for (const started of this.#started) {
      await started.end();
      this.told.push(`$ ${started.words.join(" ")} &\n${started.shown()}`);
    }
    const { stdout } = await this.call(["ps", "--all", "--quiet"]);
    const ids = stdout.split("\n").filter((id) => id !== "");
    if (ids.length > 0) await this.call([...this.#engine.remove, ...ids]);
    if (!this.usesVolumes) return;
    const volumes = (await this.call(["volume", "ls", "--quiet"])).stdout.split("\n").filter((name) => name !== "");
    if (volumes.length > 0) await this.call(["volume", "rm", "--force", ...volumes]);
  }
}

export class Background {
  readonly words: string[];
  readonly #child: Bun.Subprocess;
  #shown = "";

  constructor(engine: Engine, words: string[], cwd: string, size?: { cols: number; rows: number }) {
    this.words = words;
    const data = (bytes: Uint8Array) => void (this.#shown += Buffer.from(bytes).toString("latin1"));
    const common = { cwd, env: { ...engine.env, TERM: "xterm" } };
    if (size) {
      const terminal = { ...size, data: (_: unknown, bytes: Uint8Array) => data(bytes) };
      this.#child = Bun.spawn(engine.command(words, cwd), { ...common, terminal });
      return;
    }
    const child = Bun.spawn(engine.command(words, cwd), { ...common, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      void (async () => {
        for await (const bytes of stream) data(bytes);
      })();
  }

  /** So far, on both. */
  shown(): string {
    return this.#shown;
  }

  async shows(text: string | RegExp): Promise<void> {
    const holds = () => (typeof text === "string" ? this.#shown.includes(text) : text.test(this.#shown));
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await Bun.sleep(10)) if (holds()) return;
    expect(this.#shown).toMatch(text);
  }

  type(text: string): void {
    if (this.#child.terminal) return void this.#child.terminal.write(text);
    const { stdin } = this.#child;
    if (typeof stdin !== "object" || stdin === null) throw new Error("no stdin");
    void stdin.write(text);
    void stdin.flush();
  }

  /** Its stdin ends. */
  endInput(): void {
    const { stdin } = this.#child;
    if (typeof stdin === "object" && stdin !== null) void stdin.end();
  }

  resize(cols: number, rows: number): void {
    this.#child.terminal?.resize(cols, rows);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Its exit status, within what anybody would wait. */
  async exited(): Promise<number> {
    const late = Bun.sleep(PATIENCE_MS).then(() => {
      throw new Error(`${this.words.join(" ")} does not end: ${this.#shown}`);
    });
    return Promise.race([this.#child.exited, late]);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill("SIGKILL");
    await this.#child.exited;
  }
}
