/** The command line with a model that takes a minute; with SLOW_STUBBORN it does not listen to aborts. */
import { setTimeout as sleep } from 'node:timers/promises';
import { main } from '../../lib/cli/main.ts';
import { fakeModel, fakeServices } from './fakes.ts';

const { load } = fakeModel({
  during: async (_index, { signal, onProgress }) => {
    onProgress?.({ phase: 'sample', step: 13, steps: 25 });
    const listening = process.env.SLOW_STUBBORN === undefined;
    await sleep(60_000, undefined, listening ? { signal } : {}).catch(() => {
      throw signal?.reason;
    });
  },
});

void main(fakeServices({ load }));
