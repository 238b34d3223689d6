"""The demo: a data set that is composed from a hand-written knowledge base, truth checks, and a stand-in base model.

=====================================  =====================================================================
``dataset.load(random_state)``         DemoData: responses (with ``split``), truth and annotations apart
``knowledge.instructions()``           the 198 instructions with context and split; 66 of them held out
``truth.check(instruction_id, text)``  names of the checks that any new answer fails; none: a good answer
``truth.accepts(frame)``               the same for a frame, as booleans
``standin.standin(cache_dir)``         folder of a small base model, pre-trained on the spot and cached
=====================================  =====================================================================
"""
