/** Values made once per key and shared for as long as some user holds them. */

export class WeakValues<Value extends object> {
  private readonly values = new Map<string, WeakRef<Value>>();
  private readonly collected = new FinalizationRegistry<string>((key) => {
    // A value made since under the same key stays.
    if (!this.values.get(key)?.deref()) this.values.delete(key);
  });

  /** The value of `key` that is in use; else a new one. What `make` throws passes through, and nothing is kept. */
  get(key: string, make: () => Value): Value {
    const known = this.values.get(key)?.deref();
    if (known) return known;
    const made = make();
    this.values.set(key, new WeakRef(made));
    this.collected.register(made, key);
    return made;
  }
}
