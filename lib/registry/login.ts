/** Getting in, and out again. @module */
import { show, TsboxError } from "../../syscalls/index.ts";
import { CredentialFiles } from "./credentials.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

export interface LoginOptions extends Omit<RegistryOptions, "credentials" | "mirrors"> {
  username: string;
  password: string;
  /** Where they are kept. */
  files?: CredentialFiles;
}

/**
 * Keeps a name and a password for a registry, once the registry has taken them.
 * @param domain `docker.io`, `localhost:5000`
 * @returns the program that keeps them, or the file where they stand, hardly hidden
 * @throws TsboxError `registry_denied`
 */
export async function login(domain: string, options: LoginOptions): Promise<{ helper: string } | { file: string }> {
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
export const logout = (domain: string, files = new CredentialFiles()): Promise<boolean> => files.erase(domain);
