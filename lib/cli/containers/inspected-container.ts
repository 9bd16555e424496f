/** A container as `docker inspect` shows it: what has keys of its own is a map, in which a template finds nothing missing. @module */
import type { ContainerInspect } from "../../containers/index.ts";

const map = (values: object | null | undefined) => values && new Map(Object.entries(values));

/** For a template, or JSON. */
export function inspectedContainer(container: ContainerInspect): object {
  const { HostConfig, GraphDriver, Config, NetworkSettings } = container;
  return {
    ...container,
    HostConfig: {
      ...HostConfig,
      LogConfig: { ...HostConfig.LogConfig, Config: map(HostConfig.LogConfig.Config) },
      PortBindings: map(HostConfig.PortBindings),
      Annotations: map(HostConfig.Annotations),
      Tmpfs: map(HostConfig.Tmpfs),
      Sysctls: map(HostConfig.Sysctls),
    },
    GraphDriver: { ...GraphDriver, Data: map(GraphDriver.Data) },
    Config: {
      ...Config,
      ...(Config.ExposedPorts ? { ExposedPorts: map(Config.ExposedPorts) } : {}),
      Volumes: map(Config.Volumes),
      Labels: map(Config.Labels),
    },
    NetworkSettings: {
      ...NetworkSettings,
      Ports: map(NetworkSettings.Ports),
      Networks: map(NetworkSettings.Networks),
    },
  };
}
