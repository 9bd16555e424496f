import type { ContainerSpec } from "../spec/index.ts";
export function readConfig(bundle: string) {
  const text = process.getBuiltinModule("node:fs").readFileSync(bundle + "/config.json", "utf8");
  return { ...parseConfig(text), text, warnings: [] as string[] };
}
export function parseConfig(text: string): { spec: ContainerSpec } {
  const spec = JSON.parse(text);
  spec.mounts ??= [];
  spec.linux ??= { namespaces: [] };
  spec.process.env ??= [];
  return { spec };
}
export function parseProcess(text: string): NonNullable<ContainerSpec["process"]> {
  return JSON.parse(text);
}
