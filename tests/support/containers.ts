/** Containers as their supervisors see them: a home in a temporary directory, and records that are made by hand. @module */
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname } from "node:path";
import { ContainerCgroup } from "../../lib/cgroup/index.ts";
import { Home } from "../../lib/containers/home.ts";
import { launchContainer } from "../../lib/containers/launch.ts";
import { LOG_HEADER } from "../../lib/containers/layout.ts";
import type { ContainerOptions } from "../../lib/containers/options.ts";
import type { ContainerRecord } from "../../lib/containers/record.ts";
import { connectPidfd, isAlive, readExit, untilOver, type Exit } from "../../lib/containers/supervisor.ts";
import { close, Directory, removeTree, sendSignal } from "../../syscalls/index.ts";

const SIGKILL = 9;

export interface LogRecord {
  seconds: number;
  stream: number;
  text: string;
}

/** Ends with all that was started in it, and with its files. */
export class TestHome implements AsyncDisposable {
  readonly home: Home;
  readonly root: string;

  constructor(root = mkdtempSync(`${tmpdir()}/tsbox-containers-`)) {
    this.root = root;
    this.home = new Home(root);
  }

  record(id: string): ContainerRecord {
    const found = this.home.state.containers.get<ContainerRecord>(id);
    if (!found) throw new Error(`no container ${id}`);
    return found;
  }

  /** One that has not been started. */
  make(command: string[], options: ContainerOptions = {}): string {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(32)), (n) => n.toString(16).padStart(2, "0")).join("");
    mkdirSync(this.home.path(id), { recursive: true, mode: 0o700 });
    this.home.state.containers.insert<ContainerRecord>({
      version: 1,
      id,
      name: id.slice(0, 12),
      created: Date.now(),
      options,
      command,
      status: "created",
      pid: 0,
      restarts: 0,
      stopped: false,
      volumes: [],
      hostname: id.slice(0, 12),
    });
    return id;
  }

  async start(id: string): Promise<number> {
    return (await launchContainer(this.home, this.record(id))).pid;
  }

  async run(command: string[], options?: ContainerOptions): Promise<string> {
    const id = this.make(command, options);
    await this.start(id);
    return id;
  }

  /** What is whole of it; once it has ended, all has to be. @param file `log`, `log.1`, … */
  log(id: string, file = "log"): LogRecord[] {
    const bytes = readFileSync(`${this.home.path(id)}/${file}`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const records: LogRecord[] = [];
    let at = 0;
    while (at + LOG_HEADER <= bytes.length) {
      const length = view.getUint32(at + 16, true);
      if (at + LOG_HEADER + length > bytes.length) break;
      records.push({
        seconds: Number(view.getBigInt64(at, true)),
        stream: view.getUint32(at + 20, true),
        text: bytes.toString("latin1", at + LOG_HEADER, at + LOG_HEADER + length),
      });
      at += LOG_HEADER + length;
    }
    if (at !== bytes.length && readExit(this.home, id))
      throw new Error(`the log is cut short: ${bytes.length}, not ${at}`);
    return records;
  }

  output(id: string, stream = 1, file = "log"): string {
    const records = this.log(id, file).filter((record) => record.stream === stream);
    return records.map(({ text }) => text).join("");
  }

  async over(id: string): Promise<Exit | undefined> {
    await untilOver(this.home, id);
    return readExit(this.home, id);
  }

  kill(id: string, signal = SIGKILL): void {
    const pidfd = connectPidfd(this.home, id);
    if (pidfd === undefined) return;
    sendSignal(pidfd, signal);
    close(pidfd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { id, cgroup } of this.home.state.containers.list<ContainerRecord>()) {
      if (isAlive(this.home, id)) this.kill(id);
      await untilOver(this.home, id);
      if (cgroup) await new ContainerCgroup(cgroup).remove();
    }
    this.home[Symbol.dispose]();
    using above = Directory.open(dirname(this.root)) as Directory;
    removeTree(above, basename(this.root));
  }
}
