"""`mlflow models serve` on a saved XGBoost model: serve_mlflow.py MODEL PORT FOLDER"""
import os
import pathlib
import sys

import mlflow.xgboost
import xgboost

model, port, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
booster = xgboost.Booster({"nthread": 1})
booster.load_model(model)
mlflow.xgboost.save_model(booster, folder / "saved", pip_requirements=[])
programs = pathlib.Path(sys.executable).parent
os.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
os.execv(programs / "mlflow", ["mlflow", "models", "serve", "--model-uri", str(folder / "saved"), "--host", "127.0.0.1", "--port", port, "--workers", "1", "--env-manager", "local"])
