/** How a registry is talked to: flags of `pull`, `push` and `login`, in podman's words. @module */
import type { PullOptions } from "../../images/index.ts";

export interface RegistryFlags {
  tlsVerify?: boolean;
}

export const REGISTRY_FLAGS: [written: string, description: string][] = [
  ["--tls-verify", "=false: also without TLS, or with a certificate that nobody vouches for"],
];

export function registryOf({ tlsVerify }: RegistryFlags): NonNullable<PullOptions["registry"]> {
  return tlsVerify === false ? { insecure: true } : {};
}
