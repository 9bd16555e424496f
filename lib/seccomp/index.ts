/** seccomp: OCI profiles to BPF, the default profile, Docker's format. @module */
export { compileSeccomp, freezeProfile, isFrozen } from "./compile.ts";
export { resolveDockerProfile, type DockerProfile, type DockerRule } from "./docker.ts";
export { defaultProfile, denyLeavingGroup } from "./profile.ts";
export { COOKIE, refuseCookie, withCookie } from "./cookie.ts";
export { notifies, SECCOMP_WORDS, seccompFlags } from "./rules.ts";
