/** Completion, in the shells themselves. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { SLOW, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const main = join(import.meta.dir, "../lib/cli/main.ts");
const folder = new Folder();
afterAll(() => folder.remove());

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];
const scripts = new Map<Shell, string>();

beforeAll(() => {
  folder.write("given.env");
  folder.directory("given.d");
  folder.write("capture.zsh", CAPTURE);
  // who is asked for names
  folder.write("bin/tsbox", TSBOX, 0o755);
  for (const shell of SHELLS) {
    const { stdout } = Bun.spawnSync([process.execPath, main, "completion", shell]);
    scripts.set(shell, folder.write(`tsbox.${shell}`, stdout.toString()));
  }
});

const TSBOX = `#!/bin/sh
case "$*" in
  "ps --all --format {{.Names}}") printf "web\\nother\\n\\$(touch expanded)\\n" ;;
  "images --format {{.Repository}}") printf "debian\\n" ;;
  "volume ls --quiet") printf "data\\n" ;;
esac
`;

/** An interactive zsh of its own; its `compadd` prints what matches. */
const CAPTURE = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PROMPT=; bindkey -e; autoload -U compinit; compinit -u -D; source '\${(q)1}
zpty -w shell 'compadd() {
  [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\\ * ]] && { builtin compadd "$@"; return }
  local -a hits; builtin compadd -A hits "$@"; (( $#hits )) && print -l "" HIT:$^hits; builtin compadd "$@"
}'
zpty -w shell 'list() { zle list-choices; print; print END-OF-"HITS" }; zle -N list; bindkey "^X" list; print READY-"NOW"'
while zpty -r shell l; do [[ $l == *READY-NOW* ]] && break; done
zpty -w -n shell "$2"$'\\C-X'
while zpty -r shell l; do print -r -- $l; [[ $l == *END-OF-HITS* ]] && break; done
zpty -d shell
`;

/** What is offered for the end of a line. */
const OFFERS: Record<Shell, (line: string) => string[]> = {
  // interactively, bash breaks words at "=" and ":" before it calls the function
  bash(line) {
    const words = line.split(" ").flatMap((word) => word.split(/([=:])/).filter((part, at) => at === 0 || part !== ""));
    const script = `
      source "$1"; shift
      complete -p tsbox | grep -q -- "-F _tsbox tsbox" || exit 9
      COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
      _tsbox 2>/dev/null
      printf "%s\\n" "\${COMPREPLY[@]}"`;
    return output(["bash", "-c", script, "bash", scripts.get("bash") as string, ...words]);
  },
  zsh(line) {
    const lines = output(["zsh", "-f", join(folder.path, "capture.zsh"), scripts.get("zsh") as string, line]);
    return lines.flatMap((each) => (each.startsWith("HIT:") ? [each.slice(4)] : []));
  },
  fish: (line) =>
    output([
      "fish",
      "--no-config",
      "-c",
      "source $argv[1]; complete -C $argv[2]",
      scripts.get("fish") as string,
      line,
    ]).map((each) => each.split("\t")[0] ?? ""),
};

function output(command: string[]): string[] {
  const env = { PATH: `${join(folder.path, "bin")}:${process.env["PATH"]}`, HOME: folder.path, TERM: "dumb" };
  const { stdout, exitCode } = Bun.spawnSync(command, { cwd: folder.path, env, stderr: "pipe" });
  expect([command[0], exitCode]).toEqual([command[0], 0]);
  return stdout.toString().replaceAll("\r", "").split("\n").filter(Boolean);
}

/** Where shells disagree about what a candidate is, its end is compared. */
const TABLE: [line: string, among: string[], notAmong: string[]][] = [
  ["tsbox ", ["run", "plan", "doctor", "completion"], ["--help", "given.env"]],
  ["tsbox r", ["run"], ["plan"]],
  ["tsbox plan ", ["run"], ["doctor"]],
  ["tsbox run --net", ["--network"], ["--pid"]],
  ["tsbox run --network ", ["none", "host"], ["given.env"]],
  ["tsbox run --network=h", ["host"], ["none"]],
  ["tsbox run --network none --read", ["--read-only"], []],
  ["tsbox run --network=none --read", ["--read-only"], []],
  ["tsbox run -i -v /a:/b:ro --read", ["--read-only"], []],
  ["tsbox run --cap-add SYS_PT", ["SYS_PTRACE"], ["CHOWN"]],
  ["tsbox run --ulimit nof", ["nofile="], ["nproc="]],
  ["tsbox run --env-file giv", ["given.env"], []],
  ["tsbox run --rootfs ", ["host"], ["given.env"]],
  ["tsbox run sle", ["sleep"], ["given.env"]],
  ["tsbox run -e run sle", ["sleep"], []],
  ["tsbox plan run --sp", ["--spec"], []],
  ["tsbox doctor --j", ["--json"], []],
  ["tsbox pul", ["pull"], ["push"]],
  ["tsbox image ", ["ls", "prune"], ["doctor"]],
  ["tsbox images --form", ["--format"], []],
  ["tsbox image ls --form", ["--format"], []],
  ["tsbox images --filter dang", ["dangling="], ["label="]],
  ["tsbox save --format ", ["docker-archive", "oci-archive"], ["json"]],
  ["tsbox load -i giv", ["given.env"], []],
  ["tsbox --root given.d syst", ["system"], []],
  ["tsbox stop we", ["web"], ["other", "given.env"]],
  ["tsbox container rm --force ", ["web", "other"], ["given.env"]],
  ["tsbox create --volumes-from ot", ["other"], ["web"]],
  ["tsbox rmi deb", ["debian"], ["given.env"]],
  ["tsbox volume rm ", ["data"], ["given.env"]],
  ["tsbox kill -s SIGU", ["SIGUSR1", "SIGUSR2"], ["SIGINT"]],
  ["tsbox update --restart un", ["unless-stopped"], ["always"]],
  ["tsbox start --at", ["--attach"], []],
  ["tsbox container pru", ["prune"], ["pause"]],
  ["tsbox completion ", ["bash", "zsh", "fish"], ["given.env"]],
];

for (const shell of SHELLS) {
  const missing = Bun.which(shell) === null ? `${shell} is not installed` : undefined;
  describe(shell, () => {
    for (const [line, among, notAmong] of TABLE) {
      testUnless(
        missing,
        JSON.stringify(line),
        () => {
          // fish offers a whole word: "--network=host"
          const offers = OFFERS[shell](line).map((offer) => offer.replace(/^--[a-z]+=(?=.)/, ""));
          expect(offers).toEqual(expect.arrayContaining(among));
          expect(offers.filter((offer) => notAmong.includes(offer))).toEqual([]);
        },
        20_000 * SLOW,
      );
    }

    testUnless(missing, "behind the command there are its own words", () => {
      expect(OFFERS[shell]("tsbox run ls --network ").filter((offer) => offer === "none")).toEqual([]);
    });
  });
}

test("names of others are not expanded", () => {
  expect(existsSync(join(folder.path, "expanded"))).toBe(false);
});

test("another shell is a mistake", () => {
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, main, "completion", "tcsh"], { stderr: "pipe" });
  expect([exitCode, stderr.toString()]).toEqual([
    125,
    'tsbox: complete in the shell "tcsh": not supported\n  hint: bash, zsh or fish\n',
  ]);
});
