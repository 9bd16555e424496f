/** A real registry (Debian's docker-registry) on a loopback port of the kernel's choice, gone with the test. @module */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noRegistryTools, type Certificate, makeCertificate } from "./certificate.ts";
import { startTokenServer, type TokenServer } from "./token-server.ts";

const PROGRAM = "/usr/bin/docker-registry";

/** Why there is none here; undefined where there is. */
export const noRegistry = existsSync(PROGRAM) ? noRegistryTools : "docker-registry is not installed";

export interface RegistryOptions {
  /** Who may use it: everybody, one user by password, or whoever shows a token of the test's own token server. */
  auth?: "none" | "basic" | "token";
  /** Serves https, with a certificate for 127.0.0.1 and localhost that only its own file vouches for. */
  tls?: boolean;
  /** How long tokens hold. */
  tokenSeconds?: number;
  /** Whether the token server lets anybody pull. */
  anonymousPull?: boolean;
  /** What stands in its configuration besides, YAML. */
  extra?: string;
}

export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`: the domain of references to it. */
  host: string;
  url: string;
  /** Of "basic" and "token". */
  username: string;
  password: string;
  certificate?: Certificate;
  tokens?: TokenServer;
  /** Where its files are: `docker/registry/v2/…`. */
  storage: string;
  /** What it has logged: a line for each request among others. */
  log(): string;
}

/**
 * Starts one; `await using` ends it and removes what it stored. Tokens are served by this very process, so whoever
 * needs one has to be waited for (`Bun.spawn`, not `Bun.spawnSync`).
 */
export async function startRegistry(options: RegistryOptions = {}): Promise<TestRegistry> {
  const { auth = "none", tls = false, extra = "" } = options;
  const directory = mkdtempSync(join(tmpdir(), "tsbox-registry-"));
  const [username, password] = ["someone", `secret-${crypto.randomUUID()}`];
  const storage = join(directory, "storage");
  mkdirSync(storage);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rmSync(directory, { recursive: true, force: true }));

  const certificate = tls || auth === "token" ? makeCertificate(directory) : undefined;
  const tokens =
    auth === "token" && certificate
      ? undo.use(await startTokenServer({ ...options, tls, certificate, username, password }))
      : undefined;
  // its configuration may be overridden by variables of the environment: none are passed on
  const sections = [
    `version: 0.1\nlog: {level: info, accesslog: {disabled: false}}\nstorage: {filesystem: {rootdirectory: ${storage}}, delete: {enabled: true}}`,
    `http: {addr: "127.0.0.1:0"${tls ? `, tls: {certificate: ${certificate?.file}, key: ${certificate?.keyFile}}` : ""}}`,
    auth === "basic" ? `auth: {htpasswd: {realm: a registry, path: ${htpasswd(directory, username, password)}}}` : "",
    tokens
      ? `auth: {token: {realm: "${tokens.realm}", service: ${tokens.service}, issuer: ${tokens.issuer}, rootcertbundle: ${certificate?.file}}}`
      : "",
    extra,
  ];
  const configuration = join(directory, "config.yml");
  writeFileSync(configuration, sections.join("\n"));
  const logFile = join(directory, "log");
  writeFileSync(logFile, "");
  const output = Bun.file(logFile);
  const server = Bun.spawn([PROGRAM, "serve", configuration], {
    stdin: "ignore",
    stdout: output,
    stderr: output,
    env: { PATH: "/usr/bin:/bin", HOME: directory, OTEL_TRACES_EXPORTER: "none" },
  });
  undo.defer(async () => {
    server.kill("SIGKILL");
    await server.exited;
  });
  const log = () => readFileSync(logFile, "utf8");
  const host = await listeningOn(log, server);
  const owned = undo.move();
  return {
    host,
    url: `${tls ? "https" : "http"}://${host}`,
    username,
    password,
    ...(tls && certificate ? { certificate } : {}),
    ...(tokens ? { tokens } : {}),
    storage,
    log,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The port is of the kernel's choice, so that no two registries want the same; the log tells it. */
async function listeningOn(log: () => string, server: Bun.Subprocess): Promise<string> {
  for (const end = performance.now() + 20_000; performance.now() < end; await Bun.sleep(10)) {
    const address = /listening on (127\.0\.0\.1:\d+)/.exec(log())?.[1];
    if (address) return address;
    if (server.exitCode !== null) break;
  }
  throw new Error(`docker-registry did not start: ${log()}`);
}

function htpasswd(directory: string, username: string, password: string): string {
  const file = join(directory, "htpasswd");
  writeFileSync(file, `${username}:${Bun.password.hashSync(password, { algorithm: "bcrypt", cost: 4 })}\n`);
  return file;
}
