/** What is known of a volume: a row of the database. @module */

export interface VolumeRecord {
  version: 1;
  /** As its name. */
  id: string;
  name: string;
  created: number;
  driver: "local";
  /** `type`, `o`, `device`, `size`. */
  options: Record<string, string>;
  labels: Record<string, string>;
  /** Made for one container, which asked for no name. */
  anonymous: boolean;
  /** Of its quota, where it has a size. */
  project?: number;
  /** What the image of its first container has there is not in it yet. */
  unfilled?: boolean;
  /** Somebody has begun to remove it. */
  removing?: boolean;
}

export interface VolumeOptions {
  /** One is made up where there is none. */
  name?: string;
  driver?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
  anonymous?: boolean;
}

/** What is known of a container that has volumes. */
export interface VolumeUser {
  id: string;
  name: string;
  created: number;
  /** `"running"`, `"exited"`, … */
  status: string;
  volumes: readonly { name: string }[];
}
