/**
 * Makes the binary, `dist/tsbox`: `bun lib/cli/compile.ts`.
 *
 * Nothing of the folder where it is started may configure it, so `.env` and `bunfig.toml` are not read; and of the
 * environment as little as Bun lets us prevent (docs/security.md).
 * @module
 */
import { readFileSync } from "node:fs";
import { namesFromTheirFiles } from "./compile-faces.ts";

/**
 * What commander imports for features that tsbox does not use (sub-commands in files of their own, colours), and what
 * stands for it: loading these parts of Bun takes half of the time that `tsbox --version` takes (measured: 8.3 ms
 * with, 4.6 ms without).
 */
const UNUSED: Record<string, string> = {
  "import childProcess from 'node:child_process';": "const childProcess = {};",
  "import path from 'node:path';": "const path = {};",
  "import fs from 'node:fs';": "const fs = {};",
  "import process from 'node:process';": "",
  "import { stripVTControlCharacters } from 'node:util';": "const stripVTControlCharacters = (text) => text;",
  "import { EventEmitter } from 'node:events';": `class EventEmitter {
    #listeners = new Map();
    on(event, listener) {
      this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
      return this;
    }
    emit(event, ...args) {
      for (const listener of this.#listeners.get(event) ?? []) listener.apply(this, args);
      return this.#listeners.has(event);
    }
    listenerCount(event) {
      return this.#listeners.get(event)?.length ?? 0;
    }
  }`,
};

/** Which source it is: engines show it. */
const git = Bun.spawnSync(["git", "rev-parse", "HEAD"], { cwd: import.meta.dir, stderr: "ignore" });
const commit = git.exitCode === 0 ? git.stdout.toString().trim() : "unknown";

const left = new Set(Object.keys(UNUSED));
await Bun.build({
  entrypoints: [`${import.meta.dir}/main.ts`],
  compile: {
    outfile: `${import.meta.dir}/../../dist/tsbox`,
    autoloadDotenv: false,
    autoloadBunfig: false,
    // only what is in the binary is code: no preload of BUN_OPTIONS, no inspector of BUN_INSPECT, no native addon
    execArgv: ["--disallow-code-generation-from-strings=strict", "--no-addons"],
    // a command lives for 20 ms: what is compiled for speed in that time is never worth it (measured: 18 ms, not 22)
    jitPolicy: 100,
  },
  define: { "process.env.TSBOX_COMMIT": JSON.stringify(commit) },
  minify: true,
  bytecode: true,
  format: "esm",
  splitting: true, // the engine is loaded by the verbs that need it
  plugins: [
    namesFromTheirFiles,
    {
      name: "commander without what tsbox does not use",
      setup(build) {
        build.onLoad({ filter: /\/commander\/lib\/\w+\.js$/ }, ({ path }) => {
          let contents = readFileSync(path, "utf8");
          for (const [used, unused] of Object.entries(UNUSED)) {
            if (contents.includes(used)) left.delete(used);
            contents = contents.replace(used, unused);
          }
          return { contents, loader: "js" };
        });
      },
    },
  ],
});
if (left.size > 0) throw new Error(`compile: commander has changed, and imports otherwise: ${[...left].join(" ")}`);
