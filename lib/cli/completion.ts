/** `tsbox completion`: a script that completes the words of tsbox in a shell. @module */
import { print } from "./print.ts";
import { UsageError } from "./report.ts";
import type { Verb } from "./verb.ts";

const SUMMARY = "Print a script that completes tsbox's words in a shell";

const SHELLS = {
  bash: async () => (await import("./complete-bash.ts")).bashScript,
  zsh: async () => (await import("./complete-zsh.ts")).zshScript,
  fish: async () => (await import("./complete-fish.ts")).fishScript,
};

const USE = `
To use it, now and from now on:
  bash    source <(tsbox completion bash)      # in ~/.bashrc
  zsh     source <(tsbox completion zsh)       # in ~/.zshrc, after compinit
  fish    tsbox completion fish | source       # in ~/.config/fish/config.fish`;

export function addCompletion(tsbox: Verb): void {
  tsbox
    .command("completion")
    .summary(SUMMARY)
    .description(SUMMARY)
    .action(async (shell: string) => {
      if (!Object.hasOwn(SHELLS, shell)) {
        throw new UsageError(`complete in the shell ${JSON.stringify(shell)}: not supported`, "bash, zsh or fish");
      }
      const [script, { wordsOf }] = await Promise.all([
        SHELLS[shell as keyof typeof SHELLS](),
        import("./completion-words.ts"),
      ]);
      print(script(wordsOf(tsbox)));
      process.exit(0);
    })
    .declareLater((verb) => {
      verb.usage("bash|zsh|fish").argument("<bash|zsh|fish>");
      verb.helpOption("--help", "Print this help and quit").addHelpText("after", USE);
    });
}
