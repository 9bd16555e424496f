/**
 * The `tsbox` command: parse, call the library, print. Docker's words, flags and exit codes wherever Docker has one.
 * @module
 */
import about from "../../package.json" with { type: "json" };
import { CommandLine } from "./later.ts";
import { reportFailure, warn } from "./report.ts";
import { addRun } from "./run.ts";
import { UnknownWord, Verb } from "./verb.ts";

const tsbox = new Verb("tsbox")
  .usage("COMMAND")
  .description("Containers and sandboxes, straight on Linux system calls")
  .version(`tsbox ${about.version}`, "-v, --version", "Print the version and quit")
  .helpOption("-h, --help", "Print this help and quit")
  .helpCommand("help [COMMAND]", "Print the help of a command")
  .enablePositionalOptions()
  .option("--root <DIR>", "Where all is kept (default $TSBOX_ROOT)")
  .on("option:root", (root: string) => void (process.env.TSBOX_ROOT = root))
  .addHelpText("after", '\nRun "tsbox COMMAND --help" for more about a command.');

process.removeAllListeners("warning").on("warning", ({ message }) => warn([message]));
const words = process.argv.slice(2);
const line = new CommandLine(words);
if (line.means(0, { name: "run" }) && !line.meansAny) addRun(tsbox);
else if (!/^(?:--version|-v)$/.test(words[0] ?? "")) await (await import("./verbs.ts")).addVerbs(tsbox, line);
tsbox.parseAsync(words.length === 0 ? ["--help"] : words, { from: "user" }).catch(async (error: unknown) => {
  const explained = error instanceof UnknownWord ? (await import("./docker.ts")).explainUnknown(error) : error;
  process.exit(reportFailure(explained));
});
