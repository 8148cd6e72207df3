/** What measures pressure. */
export interface Monitor {
  /** Pressure, 0 to 1 and above; undefined: not known now, the last one stands. */
  measure(): number | undefined | Promise<number | undefined>;
  stop?(): void;
}
