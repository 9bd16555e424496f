/**
 * Sandboxes: made by a call, owned by this process, gone with it.
 * @module
 */
import * as sys from "../../syscalls/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { settingsOf, type Cgroup, type Look } from "../cgroup/index.ts";
import { bury, kill, type Launched } from "../launch/index.ts";
import type { NamespaceType, Spec } from "../spec/index.ts";
import { unlessAborted } from "./abort.ts";
import { Agent } from "./agent.ts";
import { archive, changesIn, checkCommit, commit, noImage } from "./box-changes.ts";
import type { CommitOptions, CommittedImage, Written } from "./box-changes.ts";
import { bandwidthOf, checkBandwidth } from "./bandwidth.ts";
import { fetchInside } from "./box-fetch.ts";
import type { BoxNetwork } from "./box-network.ts";
import { UsageMeter } from "./box-usage.ts";
import { checkKeys, checkObject, checkPath, checkSignal, invalid } from "../options/index.ts";
import { checkCommand } from "./check-request.ts";
import { watchCpuTime } from "./cpu-time.ts";
import { create, type Made } from "./create.ts";
import { planOf, specOf } from "./describe.ts";
import { cpuTimeLimit, outputLimit, since, timeLimit } from "./group.ts";
import { BoxFiles } from "./files.ts";
import type { Change } from "../layer/index.ts";
import { configAsRun } from "./image-config.ts";
import type { BoxImage, ImageInUse } from "./image.ts";
import { spawnInside } from "./inside.ts";
import { InsidePorts } from "./inside-ports.ts";
import { join, take } from "./launch.ts";
import { Volume } from "./volume.ts";
import { membersOf, watchMembers } from "./members.ts";
import type { Membership } from "./networks.ts";
import type { BandwidthLimit, BoxUsage, Limits, Reason, RunOptions, RunResult } from "./options.ts";
import type { SandboxOptions, SpawnOptions, StatsOptions } from "./options.ts";
import { parseDuration } from "./parse.ts";
import { withImage } from "./pull.ts";
import type { SandboxProcess } from "./process.ts";
import { agentSpec, checkSpawnOptions, processFor } from "./request.ts";
import { GROUP_LIMITS, limitsAsResources } from "./resources.ts";
import { shellOf, type Shell } from "./shell.ts";
import { spawnAlone } from "./spawn.ts";
import { directoryOf, type Request } from "./stacked-root.ts";
import { inTurn } from "./turns.ts";

const text = new TextDecoder();

/**
 * A sandbox that lives for a while: processes are spawned in it, and all of them go with it.
 *
 * @example
 * ```ts
 * await using box = await Sandbox.create({ limits: { memory: "256mb" } });
 * const process = box.spawn(["sh", "-c", "echo hello; hostname"]);
 * await new Response(process.stdout).text();
 * ```
 */
export class Sandbox implements AsyncDisposable {
  /** Limits that are not possible here and were left out, where they are optional. */
  readonly warnings: readonly string[];
  /** What its network policy has denied, and another policy for it. */
  readonly network: BoxNetwork;
  readonly #options: Request;
  readonly #spec: Spec;
  readonly #sized: boolean;
  readonly #launched: Launched;
  readonly #pidfd: number;
  readonly #cgroup: Cgroup;
  readonly #output: { left: number };
  readonly #running = new Set<SandboxProcess>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #meter: UsageMeter;
  readonly #image: ImageInUse | undefined;
  readonly #upper: number | undefined;
  readonly #membership: Membership | undefined;
  #endWatch: (() => void) | undefined;
  #paused: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #shell: Shell | undefined;
  #files: BoxFiles | undefined;
  #agent: Agent | undefined;
  #ports: InsidePorts | undefined;
  readonly #over = new AbortController();
  #ending: Reason | undefined;
  #bandwidth: BandwidthLimit | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(made: Made) {
    const { request: options, spec, sized, launched, cgroup, warnings, image, upper, membership, network } = made;
    this.warnings = warnings;
    this.network = network;
    this.#options = options;
    this.#spec = spec;
    this.#sized = sized;
    this.#launched = launched;
    this.#image = image;
    this.#upper = upper;
    this.#membership = membership;
    this.#pidfd = made.pidfd;
    this.#cgroup = cgroup;
    this.#output = { left: outputLimit(options) };
    this.#bandwidth = options.limits?.bandwidth;
    const stop = (reason: Reason) => () => void this.#stop(reason);
    const timeMs = timeLimit(options);
    if (timeMs !== undefined) {
      this.#timer = setTimeout(stop("timeout"), timeMs);
      // a box that is waiting for nothing does not keep a script from ending
      this.#timer.unref?.();
    }
    this.#meter = new UsageMeter(
      cgroup,
      () => this.#roots(),
      () => network.traffic ?? membership?.traffic(launched.pid),
    );
    network.spent = stop("network");
    const cpuMs = cpuTimeLimit(options);
    if (cpuMs !== undefined) this.#endWatch = watchCpuTime(cpuMs, () => this.#meter.cpuMs(), stop("cpu-time"));
    options.signal?.addEventListener("abort", this.#abort, { once: true });
    // its init has been killed: nothing is left inside
    void launched.control.ended.then(stop("killed"));
  }

  readonly #abort = () => void this.#stop("killed");

  /**
   * Runs one command in a sandbox of its own and tells how it ended; everything else in it is gone by then.
   *
   * @example
   * ```ts
   * const { stdout } = await Sandbox.run(["echo", "hello"]);
   * ```
   * @throws TsboxError, with `code` `invalid_option`, `rootfs_not_found`, `command_not_found`, `mount_failed`, … A
   * command that fails, is killed or exceeds a limit is a result, not an error. What `signal` gives as its reason,
   * where it fires.
   */
  static async run(command: string[], options: RunOptions = {}): Promise<RunResult> {
    checkObject("options", options);
    if (options.stdin === "pipe") {
      throw new TsboxError('use stdin "pipe": a run has nobody to write to it', {
        code: "invalid_option",
        hint: "pass a string, bytes, a Blob, a Response or a ReadableStream, or use Sandbox.spawn",
      });
    }
    const asked: RunOptions = options.terminal ? options : { stderr: "pipe", ...options };
    const process = await inTurn({ command, options: asked }, (now) => {
      const spawn = () => spawnAlone(now.command, now.options);
      return now.options.image === undefined ? spawn() : withImage(now.options, spawn);
    });
    const [stdoutBytes, stderrBytes, result] = await process.collect();
    options.signal?.throwIfAborted();
    return { ...result, stdout: text.decode(stdoutBytes), stderr: text.decode(stderrBytes), stdoutBytes, stderrBytes };
  }

  /**
   * Starts one command in a sandbox of its own, which ends with it; otherwise as `Bun.spawn`: stdin is ignored, stdout
   * is a pipe and stderr the caller's own unless told otherwise.
   * @throws TsboxError for what is known before it runs; all else is told by {@link SandboxProcess.result}
   */
  static spawn(command: string[], options: RunOptions = {}): SandboxProcess {
    return spawnAlone(command, options);
  }

  /**
   * Makes a sandbox without a command, for processes to be spawned in.
   * @throws TsboxError, as {@link Sandbox.run}
   */
  static async create(options: SandboxOptions = {}): Promise<Sandbox> {
    const made = await inTurn({ command: [], options }, (now) => {
      const make = () => create(now.options);
      return now.options?.image === undefined ? make() : withImage(now.options, make);
    });
    const box = new Sandbox(made);
    if (options.signal?.aborted) await box.#stop("killed");
    options.signal?.throwIfAborted();
    return box;
  }

  /** What it is made of, where that is an image. */
  get image(): BoxImage | undefined {
    return this.#image?.image;
  }

  /** Its addresses, by the names of the networks that it is in. */
  get addresses(): Readonly<Record<string, string[]>> {
    return this.#membership?.addresses ?? {};
  }

  /** Process id of the sandbox's init on the host. */
  get pid(): number {
    return this.#launched.pid;
  }

  /**
   * The path of one of its namespaces, as long as it lives; for `namespaces` of another sandbox, pass the sandbox itself.
   * @throws TsboxError `sandbox_closed`, `invalid_option`
   */
  namespace(type: NamespaceType): string {
    if (typeof type !== "string" || !Object.hasOwn(NAMESPACE_FILES, type)) {
      const hint = Object.keys(NAMESPACE_FILES).join(", ");
      throw new TsboxError(`find the namespace ${show(type)}: unknown`, { code: "invalid_option", hint });
    }
    // its init is not reaped before it is stopped: the pid cannot be that of another process
    if (this.#stopped) throw new TsboxError("join a namespace: the sandbox has ended", { code: "sandbox_closed" });
    return `/proc/${this.pid}/ns/${NAMESPACE_FILES[type]}`;
  }

  /**
   * A directory of the sandbox, and what is mounted below it, to be mounted in another one.
   * @throws TsboxError `mount_failed`, `sandbox_closed`, `invalid_option`
   */
  async volume(path: string): Promise<Volume> {
    checkPath("volume", path);
    if (this.#stopped) throw new TsboxError("take a volume: the sandbox has ended", { code: "sandbox_closed" });
    const { mount, user } = this.#options.namespaces ?? {};
    if (mount === "host") throw invalid("take a volume out of the host's mount namespace", "mount it as a bind mount");
    if (user === "auto") throw invalid('take a volume of ids of its own (namespaces.user "auto"): they are nobody\'s');
    const taken = take(this.#spec, this.#pidfd, path);
    const fd = await taken.passed;
    const { failure } = await taken.control.told;
    await bury(taken);
    if (fd !== undefined) return new Volume(fd, path);
    this.#checkOpen("take a volume");
    throw failure ?? new TsboxError(`take the volume "${path}": the sandbox has ended`, { code: "sandbox_closed" });
  }

  /**
   * Starts a command in the sandbox, as `Bun.spawn`.
   * @throws TsboxError `sandbox_closed`, `invalid_option`; all else is told by {@link SandboxProcess.result}
   */
  spawn(command: string[], options: SpawnOptions = {}): SandboxProcess {
    checkCommand(command);
    checkSpawnOptions(options);
    checkSignal(options.signal);
    if (this.#stopped) throw new TsboxError("spawn a process: the sandbox has ended", { code: "sandbox_closed" });
    this.#checkRunning("spawn a process");
    const before = this.#cgroup.counters();
    const inside = {
      spec: { ...this.#spec, process: processFor(command, this.#options, options) },
      pidfd: this.#pidfd,
      cgroup: this.#cgroup,
      sized: this.#sized,
      notify: this.#options.security?.notify,
    };
    const process: SandboxProcess = spawnInside(inside, options, {
      ending: () => this.#ending,
      counters: () => since(before, this.#cgroup.counters()),
      output: this.#output,
      warnings: this.warnings,
      image: this.image,
      afterwards: async (exit) => {
        this.#running.delete(process);
        if (exit) this.#meter.tell(exit);
        await this.network.flush();
      },
    });
    this.#running.add(process);
    return process;
  }

  /** ``box.$`ls -l ${path}` ``: a line for the sandbox's `/bin/sh`, as `Bun.$`. */
  get $(): Shell {
    return (this.#shell ??= shellOf((command, options) => this.spawn(command, options)));
  }

  /** The files of the sandbox, read and written by its own user from inside of it. */
  get fs(): BoxFiles {
    return (this.#files ??= new BoxFiles(() => this.#agentInside()));
  }

  /**
   * `fetch`, to a server inside that listens at `localhost`: in without publishing a port, and not out again, wherever it
   * redirects to. Where the sandbox ends, so do its answers.
   * @throws TsboxError `invalid_option`, `fetch_failed`, `sandbox_closed`; the reason of the signal
   */
  async fetch(input: string | URL | globalThis.Request, init?: RequestInit): Promise<Response> {
    this.#checkOpen("fetch");
    if (this.#options.network === "host")
      throw invalid("fetch inside: the sandbox has the host's network", "fetch() reaches it");
    const ports = (this.#ports ??= new InsidePorts(sys.open(this.namespace("network"), sys.O_RDONLY)));
    return fetchInside((port) => ports.path(port), input, init, ports.ended);
  }

  /** One serves all, as long as there is something to do. */
  #agentInside(): Agent {
    if (this.#stopped) throw new TsboxError("reach files: the sandbox has ended", { code: "sandbox_closed" });
    this.#checkRunning("reach files");
    if (!this.#agent || this.#agent.isOver) {
      const spec = agentSpec(this.#spec, this.#options);
      this.#agent = new Agent((stdin) =>
        join(spec, this.#pidfd, { stdin, stdout: -1, stderr: -1 }, this.#cgroup, this.#sized, "agent"),
      );
    }
    return this.#agent;
  }

  /**
   * What the box uses now, and has used since it was made.
   * @throws TsboxError `sandbox_closed`
   */
  usage(): BoxUsage {
    this.#checkOpen("measure the sandbox");
    return this.#meter.read();
  }

  /**
   * The same, again and again until the box ends.
   *
   * @example
   * ```ts
   * for await (const { memoryBytes, cpuMs } of box.stats({ interval: "1s" })) {
   *   if (memoryBytes > 100e6 || cpuMs > 1000) break;
   *   await box.stop();
   * }
   * ```
   * @throws TsboxError `invalid_option`
   */
  stats(options: StatsOptions = {}): AsyncGenerator<BoxUsage, void, void> {
    checkKeys("option", options, ["interval", "signal"]);
    checkSignal(options.signal);
    return this.#stats(parseDuration("use the interval", options.interval ?? "1s"), options.signal);
  }

  async *#stats(intervalMs: number, signal: AbortSignal | undefined): AsyncGenerator<BoxUsage, void, void> {
    while (!this.#stopped) {
      yield this.#meter.read();
      if (this.#stopped) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, intervalMs);
      try {
        await unlessAborted(Promise.race([promise, this.#closed.promise]), signal);
      } finally {
        clearTimeout(timer);
      }
    }
  }

  /**
   * Stops all processes inside until {@link resume}, without their noticing. The box can be stopped; time limits go on.
   * @throws TsboxError `limit_unavailable` where there is no control group that could be frozen, `sandbox_closed`
   */
  async pause(): Promise<void> {
    this.#checkOpen("pause the sandbox");
    await (this.#paused ??= this.#pause());
  }

  async #pause(): Promise<void> {
    try {
      await this.#untilInside();
      this.#checkOpen("pause the sandbox");
      const isOver = () => this.#stopped !== undefined;
      await this.#cgroup.freeze(this.#members(false), isOver);
    } catch (error) {
      this.#paused = undefined;
      this.#checkOpen("pause the sandbox");
      throw error;
    }
  }

  /** Lets a paused box go on; nothing where it is not paused. */
  async resume(): Promise<void> {
    this.#checkOpen("resume the sandbox");
    await this.#paused;
    this.#cgroup.thaw();
    this.#paused = undefined;
  }

  /** Whether it is paused, or about to be. */
  get paused(): boolean {
    return this.#paused !== undefined;
  }

  /**
   * Changes limits that control groups keep (memory, CPUs, processes, I/O, huge pages), and the bandwidth; those that are
   * not named stay.
   * @throws TsboxError `invalid_option`, `limit_unavailable`, `sandbox_closed`
   */
  async update(limits: Limits): Promise<void> {
    this.#checkOpen("update the sandbox");
    checkKeys("limit to change", limits, [...GROUP_LIMITS, "bandwidth"]);
    const { bandwidth, ...kept } = limits;
    if (bandwidth !== undefined) await this.#pace(bandwidth);
    const settings = settingsOf(limitsAsResources(kept, directoryOf(this.#options)));
    await this.#untilInside();
    this.#checkOpen("update the sandbox");
    this.#cgroup.apply(settings, [], this.#members(true));
  }

  async #pace(bandwidth: BandwidthLimit): Promise<void> {
    const wanted = { ...this.#bandwidth, ...bandwidth };
    const { network } = this.#options;
    checkBandwidth({ ...(network !== undefined && { network }), limits: { bandwidth: wanted } });
    const now = bandwidthOf({ bandwidth: wanted }) ?? {};
    await this.#membership?.pace(now);
    this.network.limit({ downBytes: undefined, upBytes: undefined, burstBytes: undefined, ...now });
    this.#bandwidth = wanted;
  }

  /**
   * What has been written over the image: `{ kind: "A", path }` for what was added, `C` for changed, `D` for deleted. Not
   * what lies in its volumes.
   * @throws TsboxError `invalid_option` for a box that is not made of an image, `sandbox_closed`
   */
  async diff(): Promise<Change[]> {
    return changesIn(this.#written("tell what was written"));
  }

  /**
   * Makes an image of what has been written, over the one that the box is made of. Its config is that image's, with
   * the box's own environment, user and working directory, but for `changes`.
   * @param reference its name; without one it is known by its id
   * @throws TsboxError `invalid_option`, `reference_invalid`, `store_unavailable`, `sandbox_closed`; `limit_unavailable`
   * where the box is to be paused, and cannot be
   */
  async commit(reference?: string, options: CommitOptions = {}): Promise<CommittedImage> {
    checkCommit(reference, options);
    const written = this.#written("commit", options.signal);
    const { image, root } = this.#image as ImageInUse;
    const config = configAsRun(this.#options, image.config.config ?? {});
    const pausing = await this.#still(options.pause);
    try {
      return await commit(written, { root, id: image.id, config }, reference, options);
    } finally {
      if (pausing && !this.#stopped) await this.resume();
    }
  }

  /**
   * All files as one tar archive, as they are seen: the image's, and what has been written. Not what lies in volumes, nor
   * in mounts. It comes as fast as it is read, while the box lives.
   * @throws TsboxError `invalid_option` for a box that is not made of an image, `sandbox_closed`
   */
  async export(): Promise<ReadableStream<Uint8Array>> {
    return archive(this.#written("export"));
  }

  /** @returns whether it is paused for this */
  async #still(pause: boolean | undefined): Promise<boolean> {
    if (pause === false || this.#paused) return false;
    try {
      await this.pause();
      return true;
    } catch (error) {
      if (pause || (error as TsboxError).code !== "limit_unavailable") throw error;
      return false;
    }
  }

  #written(action: string, signal?: AbortSignal): Written {
    this.#checkOpen(action);
    const [upper, { stack }] = [this.#upper, this.#options];
    if (upper === undefined || !stack) throw noImage(action);
    const over = this.#over.signal;
    return { upper, pid: this.pid, stack, signal: signal ? AbortSignal.any([over, signal]) : over };
  }

  /** Waits for what is being started: it is not inside yet, so it would be frozen and limited by nothing. */
  async #untilInside(): Promise<void> {
    const isOutside = (process: SandboxProcess) => this.#running.has(process) && membersOf([process.pid]).length < 2;
    for (const process of this.#running) {
      while (isOutside(process)) await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Its init, and what waits outside for those that joined. */
  #roots(): number[] {
    return [this.pid, ...[...this.#running].map(({ pid }) => pid)];
  }

  /** Looks at all that run inside. */
  #members(withInit: boolean): Look {
    const look = watchMembers(() => this.#roots());
    return () => {
      const { pids, isWhole } = look();
      const roots = this.#roots();
      return { pids: pids.filter((pid) => !roots.includes(pid) || (withInit && pid === this.pid)), isWhole };
    };
  }

  #checkRunning(action: string): void {
    if (this.#paused) throw new TsboxError(`${action}: the sandbox is paused`, { code: "sandbox_paused" });
  }

  #checkOpen(action: string): void {
    if (this.#stopped) throw new TsboxError(`${action}: it has ended`, { code: "sandbox_closed" });
  }

  /** Kills everything inside, and waits until nothing is left of it. More calls do no harm. */
  stop(): Promise<void> {
    return this.#stop("killed");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #stop(reason: Reason): Promise<void> {
    this.#ending ??= reason;
    this.#stopped ??= this.#end();
    return this.#stopped;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#timer);
    this.#endWatch?.();
    this.#closed.resolve();
    this.#over.abort(new TsboxError("read what was written: the sandbox has ended", { code: "sandbox_closed" }));
    this.#options.signal?.removeEventListener("abort", this.#abort);
    kill(this.#launched);
    // with cgroup v1, what is frozen dies when it goes on
    this.#cgroup.thaw();
    // those in a pid namespace of the sandbox die with it; the others have to be told
    const running = [...this.#running];
    for (const process of running) process.end(this.#ending ?? "killed");
    this.#agent?.close();
    await Promise.all(running.map((process) => process.result().catch(() => {})));
    await this.#agent?.ended;
    await bury(this.#launched);
    await this.network.close();
    this.#ports?.close();
    sys.close(this.#pidfd);
    if (this.#upper !== undefined) sys.close(this.#upper);
    this.#image?.release();
    await Promise.all([this.#cgroup.remove(), this.#membership?.leave()]);
  }

  /** The OCI runtime specification (config.json) that a request comes to. Nothing is run. */
  static spec(command: string[], options: RunOptions = {}): Spec {
    return specOf(command, options);
  }

  /** The system calls that a request comes to, one a line, each group with its reason. Nothing is run. */
  static plan(command: string[], options: RunOptions = {}): string {
    return planOf(command, options);
  }
}

/** In /proc/PID/ns. */
const NAMESPACE_FILES: Record<NamespaceType, string> = {
  mount: "mnt",
  pid: "pid",
  uts: "uts",
  ipc: "ipc",
  user: "user",
  cgroup: "cgroup",
  network: "net",
  time: "time",
};
