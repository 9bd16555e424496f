/** `tsbox login`: credentials for a registry, kept where Docker keeps them. @module */
import { DEFAULT_DOMAIN } from "../../image/index.ts";
import { sizeOfTerminal, withoutEcho } from "../../terminal/index.ts";
import { ask } from "../ask.ts";
import { print } from "../print.ts";
import { reportFailure, UsageError } from "../report.ts";
import { safeWord } from "../safe-text.ts";
import { declare, type Add } from "./declare.ts";
import { registryOf, REGISTRY_FLAGS, type RegistryFlags } from "./registry-flags.ts";
import { safely } from "./with-images.ts";

interface LoginFlags extends RegistryFlags {
  username?: string;
  password?: string;
  passwordStdin?: boolean;
}

const [STDIN, STDERR] = [0, 2];
const MAX_PASSWORD = 64 * 1024;

export const addLogin: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Log in to a registry",
      more: ", Docker Hub unless one is named. What it takes is kept where Docker keeps it",
      usage: "[FLAGS] [SERVER]",
      words: ["[SERVER]"],
      flags: [
        ["-u, --username <NAME>", "Who logs in"],
        ["-p, --password <PASSWORD>", "Password, or an access token; others on this host can read it here"],
        ["--password-stdin", "Read it from stdin"],
        ...REGISTRY_FLAGS,
      ],
    },
    (server: string | undefined, flags: LoginFlags) =>
      safely(async (signal) => {
        const domain = domainOf(server);
        if (await isLoggedIn(domain, flags, signal)) return print("Login Succeeded\n");
        const { username, password } = await credentialsFrom(flags);
        const { login } = await import("../../registry/index.ts");
        const kept = await login(domain, { username, password, ...registryOf(flags), signal });
        if ("file" in kept)
          print(`WARNING! Your credentials are stored unencrypted in ${JSON.stringify(kept.file)}.\n`, STDERR);
        print("Login Succeeded\n");
      }),
  );

/** `https://host/v1/` and `index.docker.io` are what people write as well. */
export function domainOf(server: string | undefined): string {
  const host = (server ?? DEFAULT_DOMAIN).replace(/^https?:\/\//, "").replace(/\/.*$/, "");
  return /^(?:index|registry-1)\.docker\.io$/.test(host) || host === "" ? DEFAULT_DOMAIN : host;
}

/** Who says nothing of who logs in is the one that has: whether the registry still knows that one. */
async function isLoggedIn(domain: string, flags: LoginFlags, signal: AbortSignal): Promise<boolean> {
  const { username, password, passwordStdin } = flags;
  if ((username ?? password ?? passwordStdin) !== undefined) return false;
  const { CredentialFiles, Registry } = await import("../../registry/index.ts");
  const credentials = await new CredentialFiles().find(domain);
  if (!credentials) return false;
  const as = credentials.username ? ` [Username: ${safeWord(credentials.username)}]` : "";
  print(`Authenticating with existing credentials...${as}\n`);
  try {
    await new Registry({ ...registryOf(flags), credentials, signal }).check(domain);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== "registry_denied") throw error;
    reportFailure(error);
    return false;
  }
}

async function credentialsFrom(flags: LoginFlags): Promise<{ username: string; password: string }> {
  const { passwordStdin = false } = flags;
  if (passwordStdin) {
    if (flags.password !== undefined)
      throw new UsageError("use --password and --password-stdin: one of them", "leave one out");
    if (flags.username === undefined) throw new UsageError("use --password-stdin: it needs --username", "-u NAME");
    return { username: flags.username, password: await passwordFromStdin() };
  }
  if (flags.password !== undefined)
    print("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n", STDERR);
  if ((flags.username === undefined || flags.password === undefined) && !sizeOfTerminal(STDIN))
    throw new UsageError("ask for credentials: stdin is no terminal", "-u NAME --password-stdin");
  const username = flags.username ?? ask("Username: ")?.trim() ?? "";
  return { username, password: flags.password ?? askSecretly("Password: ") };
}

/** Without the end of its line. */
async function passwordFromStdin(): Promise<string> {
  const bytes: number[] = [];
  for await (const piece of Bun.stdin.stream()) {
    bytes.push(...piece);
    if (bytes.length > MAX_PASSWORD) throw new UsageError("read a password from stdin: too long", "only the password");
  }
  return new TextDecoder().decode(Uint8Array.from(bytes)).replace(/\r?\n$/, "");
}

function askSecretly(question: string): string {
  const restore = withoutEcho(STDIN);
  const undo = () => restore?.();
  // however this program ends
  process.on("exit", undo);
  try {
    return ask(question, true) ?? "";
  } finally {
    undo();
    process.off("exit", undo);
    print("\n", STDERR);
  }
}
