/** A small deterministic generator (xorshift32): what a seed gave can be given again. */
export interface Random {
  /** 0 to `below` - 1. */
  next(below: number): number;
  one<T>(of: readonly T[]): T;
}

export function seeded(seed: number): Random {
  // Spread the seed: neighbours must not give alike sequences; 0 would stay 0.
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) | 1) >>> 0;
  const next = (below: number) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  return { next, one: (of) => of[next(of.length)]! };
}
