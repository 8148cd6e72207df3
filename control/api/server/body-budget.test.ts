import { describe, expect, it } from 'vitest';
import { BodyBudget } from './body-budget.ts';

describe('memory for bodies', () => {
  it('is limited for each caller and in all, and given to those that wait in their order', async () => {
    const budget = new BodyBudget({ total: 10, perCaller: 6 });
    const order: string[] = [];
    const reserve = async (caller: string, bytes: number, label: string) => {
      const release = await budget.reserve(caller, bytes, 60_000);
      order.push(label);
      return release;
    };
    const first = await reserve('a', 6, 'a1');
    const second = reserve('a', 4, 'a2');
    const third = reserve('b', 6, 'b1');
    const fourth = await reserve('c', 4, 'c1');
    expect(order).toEqual(['a1', 'c1']);
    expect(budget.reserved).toBe(10);
    first();
    (await second)();
    (await third)();
    fourth();
    expect(order).toEqual(['a1', 'c1', 'a2', 'b1']);
    expect(budget.reserved).toBe(0);
  });

  it('is refused by name when there is none in time', async () => {
    const budget = new BodyBudget({ total: 10, perCaller: 6 });
    const release = await budget.reserve('a', 6, 10);
    await expect(budget.reserve('a', 1, 10)).rejects.toMatchObject({
      code: 503,
      message: 'the limit of request bodies in flight is reached (6 bytes of one caller, 10 of all)',
    });
    release();
    (await budget.reserve('a', 6, 10))();
    expect(budget.reserved).toBe(0);
  });
});
