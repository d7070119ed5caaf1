import { engineContract } from './contract.ts';
import { realGround } from './real-ground.ts';

engineContract('Docker', realGround());
