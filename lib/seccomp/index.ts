/** seccomp: OCI profiles to BPF, and the default profile. @module */
export { compileSeccomp } from "./compile.ts";
export { defaultProfile } from "./profile.ts";
