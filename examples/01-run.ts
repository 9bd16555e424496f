/**
 * One command in a sandbox of its own, thrown away afterwards. Nothing of the machine can be changed from inside, and
 * nothing of it is seen but the system's programs.
 *
 *     bun examples/01-run.ts
 *
 * A program of yours writes `from "tsbox"`.
 */
import { Sandbox, TsboxError } from "../lib/index.ts";

const { stdout, exitCode, reason } = await Sandbox.run(["sh", "-c", "echo hello from $(uname -n); id -u; exit 3"]);
console.log(stdout.trimEnd());
console.log(`exit code ${exitCode}, reason "${reason}"`); // a command that fails is a result

// the environment is not the caller's, and files go with the sandbox
const again = await Sandbox.run(["sh", "-c", "echo secret >/tmp/file && cat /tmp/file; env | sort"], {
  env: { LANG: "C" },
});
console.log(again.stdout.trimEnd());

// what cannot be done at all is an error, with a code and a hint
try {
  await Sandbox.run(["no-such-command"]);
} catch (error) {
  if (!(error instanceof TsboxError)) throw error;
  console.log(`${error.code}: ${error.message}`);
}
