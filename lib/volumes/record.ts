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
}

export interface VolumeOptions {
  /** One is made up where there is none. */
  name?: string;
  driver?: string;
  options?: Record<string, string>;
  labels?: Record<string, string>;
  anonymous?: boolean;
}
