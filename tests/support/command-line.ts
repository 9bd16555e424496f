/** The `tsbox` command, with a store of its own in which there is the image `busy`. @module */
import { cpSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Containers } from "../../lib/containers/index.ts";
import { Tsbox } from "../../lib/engine/index.ts";
import type { ContainerConfig } from "../../lib/image/index.ts";
import { homeIn } from "./home.ts";
import { makeImage } from "./images.ts";
import { Folder, makeRootfs } from "./rootfs.ts";

const MAIN = join(import.meta.dir, "../../lib/cli/main.ts");

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

export interface Calling {
  stdin?: string;
  env?: Record<string, string>;
}

/** Ends with all containers that were made in it, and with its files. */
export class CommandLine implements AsyncDisposable {
  readonly folder = new Folder();
  readonly root = this.folder.directory("store");
  #made = 0;

  static async open(): Promise<CommandLine> {
    const made = new CommandLine();
    await made.image("busy", { Cmd: ["sh"], Env: ["PATH=/bin"] });
    return made;
  }

  /** An image of busybox, by this name or one that is made up. */
  async image(name = `made-${this.#made++}`, config: ContainerConfig = {}, about = {}): Promise<string> {
    using busybox = makeRootfs();
    const fill = (layer: string) => cpSync(busybox.path, layer, { recursive: true, verbatimSymlinks: true });
    await makeImage(this.root, `docker.io/library/${name}:latest`, [fill], config, about);
    return name;
  }

  get env(): Record<string, string> {
    const kept = ["PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"].flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    return { ...Object.fromEntries(kept), ...homeIn(this.folder.path), TSBOX_ROOT: this.root };
  }

  /** What is executed for these words, for who spawns it himself. */
  command(...words: string[]): string[] {
    return [process.execPath, MAIN, ...words];
  }

  call(words: readonly string[], { stdin, env = {} }: Calling = {}): Ended {
    const { exitCode, stdout, stderr } = Bun.spawnSync(this.command(...words), {
      cwd: this.folder.path,
      env: { ...this.env, ...env },
      stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
      stderr: "pipe",
    });
    return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  }

  readonly tsbox = (...words: string[]): Ended => this.call(words);

  /** What it prints, of words that are to do well. */
  readonly said = (...words: string[]): string => {
    const { status, stdout, stderr } = this.call(words);
    if (status !== 0) throw new Error(`tsbox ${words.join(" ")}: ${status}\n${stderr}`);
    return stdout.trimEnd();
  };

  async [Symbol.asyncDispose](): Promise<void> {
    const directory = join(this.root, "containers");
    try {
      using containers = new Containers(this.root);
      for (const id of existsSync(directory) ? readdirSync(directory) : []) {
        const found = await containers.get(id).catch(() => undefined);
        // one that removes itself may be gone by now
        await found?.remove({ force: true, volumes: true }).catch(unlessGone);
      }
      // files in them may be those of subordinate ids
      if (existsSync(join(this.root, "volumes"))) await removeVolumes(this.root);
    } finally {
      // overlayfs makes directories that nobody may enter
      Bun.spawnSync(["chmod", "-R", "u+rwx", this.folder.path], { stderr: "ignore" });
      this.folder.remove();
    }
  }
}

async function removeVolumes(root: string): Promise<void> {
  using engine = new Tsbox({ root });
  for (const { name } of engine.volumes.list()) await engine.volumes.remove(name, { force: true });
}

function unlessGone(error: unknown): void {
  if ((error as { code?: string }).code !== "container_not_found") throw error;
}
