/** A store of a test's own with one small image, `base`, and builds in it. @module */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { build, type BuildEvent, type BuildOptions, type BuildResult } from "../../lib/build/index.ts";
import { Images } from "../../lib/images/index.ts";
import { Sandbox } from "../../lib/sandbox/index.ts";
import { Folder, makeRootfs } from "./rootfs.ts";

export class TestBuilds implements Disposable {
  readonly root = mkdtempSync(`${tmpdir()}/tsbox-builds-`);
  /** A build context. */
  readonly context = new Folder();
  events: BuildEvent[] = [];

  static async make(changes: string[] = ['CMD ["sh"]']): Promise<TestBuilds> {
    const made = new TestBuilds();
    using rootfs = makeRootfs();
    const archive = `${made.root}/base.tar`;
    const packed = Bun.spawnSync(["tar", "--owner=0", "--group=0", "-cf", archive, "-C", rootfs.path, "."]);
    if (packed.exitCode !== 0) throw new Error(packed.stderr.toString());
    using images = new Images(made.root);
    await images.import(archive, { reference: "base", changes });
    rmSync(archive);
    return made;
  }

  /** Of a text, named `made` unless names are asked for. */
  build(dockerfile: string, options: BuildOptions = {}): Promise<BuildResult> {
    this.events = [];
    const { path } = this.context;
    const onEvent = (event: BuildEvent) => void this.events.push(event);
    return build(this.root, { dockerfile, context: path, tags: ["made"], onEvent, ...options });
  }

  /** What a command prints in a sandbox of an image. */
  async run(command: string, image = "made"): Promise<string> {
    const reference = { reference: image, root: this.root, pull: "never" as const };
    const { stdout, stderr, exitCode } = await Sandbox.run(["sh", "-c", command], { image: reference, entrypoint: "" });
    if (exitCode !== 0) throw new Error(`${command}: ${exitCode}: ${stderr}`);
    return stdout;
  }

  images(): Images {
    return new Images(this.root);
  }

  /** All that RUN has written. */
  get output(): string {
    return this.events.map((event) => (event.type === "output" ? new TextDecoder().decode(event.bytes) : "")).join("");
  }

  /** Titles of steps, by how they ended. */
  ended(cached: boolean): string[] {
    const plan = this.events.find((event) => event.type === "plan");
    return this.events.flatMap((event) =>
      event.type === "ended" && event.cached === cached ? [plan?.steps[event.step]?.title ?? ""] : [],
    );
  }

  /** Names of what builds have left in their part of the store, without what is kept for the next. */
  get leftovers(): string[] {
    const names = (directory: string) => (existsSync(directory) ? readdirSync(directory) : []);
    return [
      ...names(`${this.root}/build`).filter((name) => name.startsWith("work-")),
      ...names(`${this.root}/build/locks`),
      ...names(`${this.root}/ingest`),
    ];
  }

  [Symbol.dispose](): void {
    this.context.remove();
    try {
      rmSync(this.root, { recursive: true, force: true });
    } catch {
      // files of subordinate ids
      Bun.spawnSync(["unshare", "--user", "--map-auto", "--map-root-user", "rm", "-rf", this.root]);
    }
  }
}

/** The error of a build that fails. */
export async function failedBuild(work: Promise<unknown>): Promise<{ message: string; code: string; hint?: string }> {
  try {
    await work;
  } catch (error) {
    return error as { message: string; code: string; hint?: string };
  }
  throw new Error("the build did not fail");
}
