/** Getting in, and out again. @module */
import { DEFAULT_DOMAIN, parseReference } from "../image/index.ts";
import { show, TsboxError } from "../../syscalls/index.ts";
import { CredentialFiles } from "./credentials.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

/**
 * The domain of a registry as people write it behind `login`: `https://registry.example/v2/`; nothing is docker.io.
 * @throws TsboxError `reference_invalid`
 */
export function parseDomain(text: string): string {
  const host = /^(?:https?:\/\/)?([^/]*)(?:\/(?:v[12]\/?)?)?$/.exec(text)?.[1];
  if (text === "" || /^(?:index|registry-1)\.docker\.io$/.test(host ?? "")) return DEFAULT_DOMAIN;
  const { domain } = parseReference(`${host ?? ""}/team/app`);
  if (host !== undefined && domain === host) return domain;
  throw new TsboxError(`use the registry ${show(text)}: not the name of one`, {
    code: "reference_invalid",
    hint: "a name with a dot, a port or both: registry.example, localhost:5000",
  });
}

export interface LoginOptions extends Omit<RegistryOptions, "credentials" | "mirrors"> {
  username: string;
  password: string;
  /** Where they are kept. */
  files?: CredentialFiles;
}

/**
 * Keeps a name and a password for a registry, once the registry has taken them.
 * @param server `docker.io`, `localhost:5000`
 * @returns the program that keeps them, or the file where they stand, hardly hidden
 * @throws TsboxError `registry_denied`
 */
export async function login(server: string, options: LoginOptions): Promise<{ helper: string } | { file: string }> {
  const domain = parseDomain(server);
  const { username, password, files = new CredentialFiles(), ...rest } = options;
  if (username === "" || username.includes(":") || password === "")
    throw new TsboxError(
      `log in at ${domain} as ${show(username)}: neither name nor password may be empty, and no colon`,
      {
        code: "invalid_option",
      },
    );
  const registry = new Registry({ ...rest, credentials: { username, password } });
  const { identityToken } = await registry.check(domain);
  return files.store(domain, { username, ...(identityToken === undefined ? { password } : { identityToken }) });
}

/** Forgets them. @returns whether there were any */
export const logout = async (server: string, files = new CredentialFiles()): Promise<boolean> =>
  files.erase(parseDomain(server));
