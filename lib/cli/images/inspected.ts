/** An image as `docker image inspect` shows it, with every field, so that a template finds each. @module */
import type { ImageInspect } from "../../images/index.ts";
import { NO_LIST, NO_MAP } from "../template/template.ts";

const list = (values: readonly string[] | undefined) => values ?? NO_LIST;
const map = (values: object | undefined) => (values === undefined ? NO_MAP : new Map(Object.entries(values)));

/** For a template, or JSON. */
export function inspected(image: ImageInspect): object {
  const { Config: config, ...rest } = image;
  return {
    ...rest,
    Variant: image.Variant ?? "",
    DockerVersion: "",
    Config: {
      ...config,
      User: config.User ?? "",
      ExposedPorts: map(config.ExposedPorts),
      Env: list(config.Env),
      Entrypoint: list(config.Entrypoint),
      Cmd: list(config.Cmd),
      Volumes: map(config.Volumes),
      WorkingDir: config.WorkingDir ?? "",
      Labels: map(config.Labels),
      StopSignal: config.StopSignal ?? "",
      Healthcheck: config.Healthcheck ?? null,
      Shell: list(config.Shell),
      OnBuild: list(config.OnBuild),
    },
  };
}
